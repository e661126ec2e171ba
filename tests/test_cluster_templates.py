"""Cluster files: valid where they are used, authenticated, private, with the right versions."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import ROOT

from cluster.templates import KINDS, TemplateSettings, render, write
from hscl.errors import InputError

LAUNCHER = ("onprem", "aws", "gcp")
SETTINGS = TemplateSettings(workers=3, gpus=1)


def _documents(kind: str, settings: TemplateSettings = SETTINGS) -> list[dict[str, Any]]:
    files = render(kind, settings)
    return [d for name in files if name.endswith("yaml") for d in yaml.safe_load_all(files[name])]


@pytest.mark.parametrize("kind", LAUNCHER)
def test_rays_own_validation_accepts_the_cluster_file(kind: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    (config,) = _documents(kind)
    validate_config(prepare_config(config))
    config["max_wrokers"] = 2
    with pytest.raises(Exception, match="max_wrokers"):
        validate_config(prepare_config(config))


@pytest.mark.parametrize("kind", ["RayCluster", "RayJob"])
def test_the_schema_of_kuberay_accepts_the_file(kind: str) -> None:
    """The schemas are KubeRay's: HSCL_KUBERAY_CRDS names a folder that holds its crd/bases."""
    import jsonschema

    folder = os.environ.get("HSCL_KUBERAY_CRDS")
    if folder is None:
        pytest.skip("KubeRay's schemas are not here (set HSCL_KUBERAY_CRDS to its crd/bases)")
    text = Path(folder, f"ray.io_{kind.lower()}s.yaml").read_text()
    versions = {v["name"]: v for v in yaml.safe_load(text)["spec"]["versions"]}
    schema = _closed(versions["v1"]["schema"]["openAPIV3Schema"])
    (document,) = [d for d in _documents("kuberay") if d["kind"] == kind]
    jsonschema.Draft202012Validator(schema).validate(document)
    spec = document["spec"].get("rayClusterSpec", document["spec"])
    spec["headGroupSpec"]["template"]["spec"]["containers"][0]["imge"] = "x"
    with pytest.raises(jsonschema.ValidationError, match="imge"):
        jsonschema.Draft202012Validator(schema).validate(document)


def _closed(schema: Any) -> Any:
    """The schema as a Kubernetes server applies it: unknown fields are refused."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: _closed(value) for key, value in schema.items()}
    if schema.pop("x-kubernetes-int-or-string", False):
        schema = {"type": ["integer", "string"]}
    if "properties" in schema and schema.get("type") == "object":
        keep = schema.get("x-kubernetes-preserve-unknown-fields", False)
        named = "metadata" in schema["properties"] and "kind" in schema["properties"]
        schema.setdefault("additionalProperties", keep or named)
    return schema


@pytest.mark.parametrize("kind", KINDS)
def test_every_place_is_filled_in_and_versions_are_this_installations(kind: str) -> None:
    for name, text in render(kind, SETTINGS).items():
        assert re.findall(r"@[A-Z]+@", text) == [], name
    text = "".join(render(kind, SETTINGS).values())
    assert version("hscl-search") in text
    if kind not in {"slurm", "aws", "gcp"}:
        assert version("ray") in text
    if kind in {"slurm", "docker", "onprem"}:
        assert f"{sys.version_info.major}.{sys.version_info.minor}" in text


@pytest.mark.parametrize("kind", LAUNCHER)
def test_launched_clusters_ask_for_a_token_and_hide_the_dashboard(kind: str) -> None:
    (config,) = _documents(kind)
    for role in ("head", "worker"):
        start = config[f"{role}_start_ray_commands"][-1]
        assert "RAY_AUTH_MODE=token" in start
        assert "umask 077" in start
        assert "chmod 600 ~/.ray/auth_token" in start
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][-1]
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    # Behind the defaults that Ray merges in, nothing opens the dashboard again.
    from ray.autoscaler._private.util import prepare_config

    assert "0.0.0.0" not in str(prepare_config(config)["head_start_ray_commands"])


def test_kubernetes_clusters_ask_for_a_token_and_keep_results() -> None:
    documents = {d["kind"]: d for d in _documents("kuberay")}
    assert documents["RayCluster"]["spec"]["headGroupSpec"]["rayStartParams"][
        "dashboard-host"
    ] == ("127.0.0.1")
    budget = documents["PodDisruptionBudget"]["spec"]
    assert budget["minAvailable"] > 1  # the one head may never be drained
    assert budget["selector"]["matchLabels"]["ray.io/node-type"] == "head"
    claim = documents["PersistentVolumeClaim"]["metadata"]["name"]
    for spec in (documents["RayCluster"]["spec"], documents["RayJob"]["spec"]["rayClusterSpec"]):
        assert spec["authOptions"] == {"mode": "token"}
        assert spec["rayVersion"] == version("ray")
        for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
            pod = group["template"]
            assert (
                pod["metadata"]["labels"]
                == documents["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]
            )
            mounts = {
                m["name"]: m["mountPath"] for m in pod["spec"]["containers"][0]["volumeMounts"]
            }
            assert mounts["results"] == "/results"
            volumes = {v["name"]: v for v in pod["spec"]["volumes"]}
            assert volumes["results"]["persistentVolumeClaim"]["claimName"] == claim
            assert set(volumes) == set(mounts)


def test_spot_workers_are_a_group_of_their_own_apart_from_the_head() -> None:
    for document in _documents("kuberay"):
        if document["kind"] in {"RayCluster", "RayJob"}:
            spec = document["spec"].get("rayClusterSpec", document["spec"])
            plain, spot = (group["template"]["spec"] for group in spec["workerGroupSpecs"])
            assert spot["nodeSelector"]
            assert plain == {key: spot[key] for key in spot if key != "nodeSelector"}
            assert "nodeSelector" not in spec["headGroupSpec"]["template"]["spec"]
            # Nothing waits for nodes that a cluster has not.
            assert spec["workerGroupSpecs"][1]["maxReplicas"] == 0


def test_who_submits_or_watches_a_rayjob_reaches_the_dashboard_alone() -> None:
    documents = {d["kind"]: d for d in _documents("kuberay")}
    own, others = documents["NetworkPolicy"]["spec"]["ingress"]
    assert own["from"] == [{"podSelector": documents["NetworkPolicy"]["spec"]["podSelector"]}]
    assert others["ports"] == [{"protocol": "TCP", "port": 8265}]
    submitter, operator = others["from"]
    assert submitter["podSelector"]["matchLabels"] == {
        "batch.kubernetes.io/job-name": documents["RayJob"]["metadata"]["name"]
    }
    assert operator["namespaceSelector"]


def test_the_job_without_kuberay_is_begun_anew_unless_a_person_has_to_mend_something() -> None:
    documents = {d["kind"]: d for d in _documents("kuberay")}
    job, service = documents["Job"], documents["Service"]
    bad_input, drained = job["spec"]["podFailurePolicy"]["rules"]
    assert (bad_input["action"], bad_input["onExitCodes"]["values"]) == ("FailJob", [2])
    assert drained["onPodConditions"] == [{"type": "DisruptionTarget"}]
    assert job["spec"]["backoffLimit"] > 0
    head, worker = (documents[kind]["spec"]["template"] for kind in ("Job", "Deployment"))
    policy = documents["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]
    budget = documents["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]
    assert budget.items() <= head["metadata"]["labels"].items()
    assert policy.items() <= worker["metadata"]["labels"].items()
    assert service["spec"]["selector"] == {"batch.kubernetes.io/job-name": job["metadata"]["name"]}
    (script,) = head["spec"]["containers"][0]["args"]
    subprocess.run(["bash", "-n", "-c", script], check=True)
    port = service["spec"]["ports"][0]["port"]
    assert f"ray start --head --port {port} " in script
    assert f"{service['metadata']['name']}:{port}" in worker["spec"]["containers"][0]["command"]
    assert "--dashboard-host 127.0.0.1 " in script
    for pod in (head, worker):
        environment = {one["name"]: one for one in pod["spec"]["containers"][0]["env"]}
        assert environment["RAY_AUTH_MODE"]["value"] == "token"
        assert "secretKeyRef" in environment["RAY_AUTH_TOKEN"]["valueFrom"]
        assert pod["spec"]["securityContext"]["runAsNonRoot"]


def test_the_entrypoint_of_a_rayjob_is_one_clean_command() -> None:
    (job,) = [d for d in _documents("kuberay") if d["kind"] == "RayJob"]
    words = job["spec"]["entrypoint"].split()
    assert words[:4] == ["python", "-m", "cluster.job_entry", "search"]
    assert "#" not in job["spec"]["entrypoint"]
    variables = yaml.safe_load(job["spec"]["runtimeEnvYAML"])["env_vars"]
    assert variables["RAY_AUTH_MODE"] == "token"
    assert variables["RAY_JOB_STOP_SIGNAL"] == "SIGINT"


def test_the_slurm_script_is_a_script_whose_token_is_private_and_removed(tmp_path: Path) -> None:
    script = tmp_path / "hscl.sbatch"
    (text,) = render("slurm", SETTINGS).values()
    script.write_text(text)
    subprocess.run(["bash", "-n", script], check=True)
    assert "#SBATCH --nodes=3" in text
    assert "#SBATCH --exclusive" in text
    assert "srun --wait=10 --kill-on-bad-exit=1" in text
    # Beside other people's Ray on one node: nothing of it is ended, no port or folder is shared.
    code = "".join(line for line in text.splitlines(True) if not line.startswith("#"))
    assert "ray stop" not in code
    assert "symmetric-run" not in code
    for ours in ('--port "$port"', "--min-worker-port 0", '--temp-dir "$folder"'):
        assert ours in code
    before = text[: text.index("srun --wait")]
    for needed in (
        "umask 077",
        "RAY_AUTH_MODE=token",
        'trap \'rm -f "$RAY_AUTH_TOKEN_PATH"',
    ):
        assert needed in before


@pytest.mark.parametrize("kind", ["slurm", "kuberay"])
def test_no_gpu_is_asked_for_where_there_is_none(kind: str) -> None:
    text = "".join(render(kind, TemplateSettings(gpus=0)).values())
    assert "gpus-per-node" not in text
    assert "nvidia.com/gpu" not in text
    assert _documents(kind, TemplateSettings(gpus=0)) or kind == "slurm"


def test_the_image_is_built_from_the_wheel_alone() -> None:
    files = render("docker", SETTINGS)
    rules = [line for line in files[".dockerignore"].splitlines() if not line.startswith("#")]
    assert rules == ["*", "!hscl_search-*.whl", "!constraints.txt"]
    copied = re.findall(r"^COPY (.+) \S+$", files["Dockerfile"], re.MULTILINE)
    assert copied == [f"hscl_search-{version('hscl-search')}-py3-none-any.whl constraints.txt"]
    assert "\nUSER ray\n" in files["Dockerfile"]


@pytest.mark.parametrize("kind", ["docker", "onprem"])
def test_what_is_installed_has_the_versions_that_are_tested_together(kind: str) -> None:
    files = render(kind, SETTINGS)
    assert files["constraints.txt"] == (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert f"torch=={version('torch').partition('+')[0]}\n" in files["constraints.txt"]
    text = files["Dockerfile" if kind == "docker" else "onprem.yaml"].replace("\\\n", " ")
    installs = [
        line for part in text.split("&&") for line in part.splitlines() if "pip install" in line
    ]
    assert len(installs) == 2
    assert all("--constraint" in line for line in installs)


def test_base_image_and_index_of_torch_are_arguments_of_the_build() -> None:
    text = render("docker", SETTINGS)["Dockerfile"]
    assert f"ARG BASE=python:{sys.version_info.major}.{sys.version_info.minor}-slim" in text
    assert "\nFROM ${BASE}\nARG TORCH_INDEX=" in text
    assert '--extra-index-url "${TORCH_INDEX}" torch' in text


@pytest.mark.parametrize(("kind", "offered"), [("aws", (0, 1, 4, 8)), ("gcp", (0, 1, 2, 4))])
def test_clouds_have_machines_with_as_many_gpus_as_asked_for(
    kind: str, offered: tuple[int, ...]
) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    for gpus in offered:
        (config,) = _documents(kind, TemplateSettings(gpus=gpus))
        validate_config(prepare_config(config))
        worker = config["available_node_types"]["worker"]
        if kind == "gcp":
            assert worker["resources"].get("GPU", 0) == gpus
            cards = worker["node_config"].get("guestAccelerators", [{"acceleratorCount": 0}])
            assert cards[0]["acceleratorCount"] == gpus
    with pytest.raises(InputError, match="--gpus must be one of 0, 1, "):
        render(kind, TemplateSettings(gpus=3))


def test_nothing_of_a_cloud_is_left_to_rays_own_defaults() -> None:
    """Its machines' image is years old, and its accounts may change who has which right."""
    for kind in ("aws", "gcp"):
        (config,) = _documents(kind)
        assert "docker" in config["initialization_commands"][0]  # the registry's login
        for node in config["available_node_types"].values():
            named = node["node_config"]
            if kind == "aws":
                assert named["ImageId"]
                assert named["IamInstanceProfile"]["Name"].startswith("hscl-")
            else:
                assert "sourceImage" in named["disks"][0]["initializeParams"]
                assert named["serviceAccounts"][0]["email"].startswith("hscl-")
    policy = json.loads(render("aws", SETTINGS)["aws-head-policy.json"])
    for statement in policy["Statement"]:
        changing = [a for a in statement["Action"] if "Terminate" in a or "PassRole" in a]
        if changing or statement["Action"] == "iam:PassRole":
            assert statement["Condition"]


def test_comments_stand_where_something_must_be_edited() -> None:
    """Words in capitals are holes; each has its comment on the same line or just above."""
    holes = re.compile(
        r"\bHEAD_IP|WORKER_IP|SSH_USER|REGISTRY|PROJECT|STORAGE_CLASS|/path/to"
        r"|REGION|ACCOUNT|AMI_ID|IMAGE_FAMILY"
    )
    for kind in KINDS:
        for name, text in render(kind, SETTINGS).items():
            for line in text.splitlines():
                if holes.search(line) and not line.startswith("#"):
                    assert "# EDIT" in line, f"{name}: {line}"


def test_files_are_not_replaced_unless_asked(tmp_path: Path) -> None:
    paths = write("docker", SETTINGS, tmp_path / "new", replace=False)
    assert sorted(p.name for p in paths) == [".dockerignore", "Dockerfile", "constraints.txt"]
    paths[0].write_text("mine")
    with pytest.raises(InputError, match="--force"):
        write("docker", SETTINGS, tmp_path / "new", replace=False)
    assert paths[0].read_text() == "mine"
    write("docker", SETTINGS, tmp_path / "new", replace=True)
    assert paths[0].read_text() != "mine"


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'slurm'"):
        render("slurn", SETTINGS)
