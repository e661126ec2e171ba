"""Reads event files back as TensorBoard itself does."""

from pathlib import Path
from typing import Any

from tensorboard import context
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import (
    api_pb2,
    backend_context,
    get_experiment,
    list_session_groups,
)


def _provider(root: Path) -> Any:
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(root))
    multiplexer.Reload()
    return data_provider.MultiplexerDataProvider(multiplexer, str(root))


def scalars(root: Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Each run's curves: run -> tag -> (step, value)."""
    provider, ctx = _provider(root), context.RequestContext()
    read = provider.read_scalars(
        ctx, experiment_id="", plugin_name="scalars", downsample=10**6, run_tag_filter=None
    )
    return {
        run: {tag: [(d.step, d.value) for d in data] for tag, data in tags.items()}
        for run, tags in read.items()
    }


def session_groups(root: Path) -> dict[str, Any]:
    """The HParams dashboard's session groups by name."""
    backend = backend_context.Context(base_plugin.TBContext(data_provider=_provider(root)))
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=10**6,
        aggregation_type=api_pb2.AGGREGATION_AVG,
        allowed_statuses=[
            api_pb2.STATUS_SUCCESS,
            api_pb2.STATUS_FAILURE,
            api_pb2.STATUS_RUNNING,
            api_pb2.STATUS_UNKNOWN,
        ],
    )
    for metric in experiment(root).metric_infos:
        request.col_params.add().metric.CopyFrom(metric.name)
    handler = list_session_groups.Handler(context.RequestContext(), backend, "", request)
    return {group.name: group for group in handler.run().session_groups}


def experiment(root: Path) -> Any:
    """The HParams dashboard's experiment: hyperparameters with their domains, metrics."""
    backend = backend_context.Context(base_plugin.TBContext(data_provider=_provider(root)))
    request = api_pb2.GetExperimentRequest()
    return get_experiment.Handler(context.RequestContext(), backend, "", request).run()
