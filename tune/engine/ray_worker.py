"""The function that Ray Tune runs on a worker: `tune.trial.run` between Ray's two ends."""

from collections.abc import Callable
from typing import Any

import ray
import ray.tune as ray_tune
from ray.experimental import internal_kv

from tune.trial.code import CODE_KEY, code_digest, code_here
from tune.trial.messages import MESSAGE, Message, TrialOrder
from tune.trial.run import Worker, check_code, run_trial
from tune.trial.workload import Workload

__all__ = ["trainable"]


def trainable(workload: Workload) -> Callable[[dict[str, Any]], None]:
    """What `Tuner` runs for each trial."""

    def hscl_trial(config: dict[str, Any]) -> None:
        order: TrialOrder = config["order"]

        def send(message: Message) -> None:
            ray_tune.report({MESSAGE: message, CODE_KEY: code_digest(code_here())})

        def stopping() -> bool:
            # A look into the head's memory, once an epoch.
            return bool(internal_kv._internal_kv_exists(order.stop_key))  # noqa: SLF001

        check_code(order)
        run_trial(order, ray.get(config["data"]), workload, Worker(send, stopping))

    return hscl_trial
