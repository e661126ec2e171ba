"""Jobs are named by their place, asked for by one command, and told as plain values."""

from hypothesis import given
from hypothesis import strategies as st
from ray.job_submission import JobStatus

from cluster.connect.uris import checked_location
from cluster.jobs.records import JobRequest, JobSetup, SearchJob, submission_id
from cluster.jobs.shipping import pack
from tune.study.toml import STUDY_FILE

DATA = checked_location("--data", "/data/mosi.arrow")
SETUP = JobSetup(pack("", with_code=False))


@given(st.sets(st.integers(1, 50)), st.sets(st.integers(1, 50)))
def test_the_next_id_is_free_and_belongs_to_the_place(mine: set[int], other: set[int]) -> None:
    out, elsewhere = (checked_location("--out", f"/runs/{name}") for name in ("one", "two"))
    stem = submission_id(out, []).removesuffix("1")
    taken = {f"{stem}{n}" for n in mine}
    taken |= {f"{submission_id(elsewhere, []).removesuffix('1')}{n}" for n in other}
    new = submission_id(out, taken | {"raysubmit_x", f"{stem}note"})
    assert new not in taken
    assert new.startswith(stem)
    assert submission_id(out, taken | {new}) != new


def test_the_entrypoint_survives_a_shell() -> None:
    odd = checked_location("--out", "/runs/it's; rm -rf $HOME")
    request = JobRequest(SETUP, "mine", DATA, odd)
    assert request.arguments == [
        *("search", "--study", STUDY_FILE, "--data", DATA.uri, "--out", odd.uri)
    ]
    again = JobRequest(SETUP, "mine", DATA, odd, frozen=True)
    assert "--frozen" in again.arguments
    assert "--study" not in again.arguments


def test_what_is_printed_as_json_names_times_and_host() -> None:
    job = SearchJob(
        "hscl-1-1", JobStatus.FAILED, "mine", "/d", "/o", "", "python",
        ships_code=False, stop_wait_s=1, started=None, ended=None, host="", message=" why ",
    )  # fmt: skip
    told = job.to_dict()
    assert told["status"] == "FAILED"
    assert told["driver_host"] is None
    assert told["started"] is None
