"""Places on a cluster: absolute, without secrets, one name each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.connect.uris import checked_location, copy_text
from hscl.errors import InputError

SECRET = "wJalrXUtnFEMI"


@pytest.mark.parametrize(
    "uri",
    [
        f"s3://AKIAIOSF:{SECRET}@bucket/run",
        f"s3://{SECRET}@bucket/run",
        f"s3://bucket/run?access_key=a&secret_key={SECRET}",
        f"s3://bucket/run?region=eu-west-1&session_token={SECRET}",
        f"https://bucket.s3.amazonaws.com/run?X-Amz-Signature={SECRET}",
        f"gs://bucket/run?access_token={SECRET}",
    ],
)
def test_credentials_in_a_uri_are_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(InputError, match="must not carry credentials") as caught:
        checked_location("--out", uri)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("path", ["runs/mosi", "./runs", "~/runs", "", "/runs/../etc"])
def test_a_relative_path_is_refused(path: str) -> None:
    with pytest.raises(InputError, match="absolute path on the nodes"):
        checked_location("--out", path)


@pytest.mark.parametrize("uri", ["http://host/run", "ftp://host/run", "S3://bucket/run"])
def test_an_unknown_scheme_names_the_valid_ones(uri: str) -> None:
    with pytest.raises(InputError, match="s3"):
        checked_location("--data", uri)


@pytest.mark.parametrize("uri", ["file:///runs/a#b", "s3://bucket/run#2"])
def test_a_fragment_would_name_another_place(uri: str) -> None:
    with pytest.raises(InputError, match=r"holds no '#', but got"):
        checked_location("--out", uri)


def test_a_file_uri_that_is_no_url_is_a_relative_path() -> None:
    with pytest.raises(InputError, match="absolute path on the nodes"):
        checked_location("--out", "file://[")


def test_a_bucket_is_needed() -> None:
    with pytest.raises(InputError, match="bucket"):
        checked_location("--out", "s3:///")


@pytest.mark.parametrize(
    ("text", "uri", "scheme"),
    [
        ("/nfs/runs/mosi/", "/nfs/runs/mosi", "file"),
        ("file:///nfs/runs//mosi", "/nfs/runs/mosi", "file"),
        ("s3://bucket/run/", "s3://bucket/run", "s3"),
        ("s3://bucket/run?endpoint_override=h:9&scheme=http", None, "s3"),
        ("gs://bucket/a b", "gs://bucket/a b", "gs"),
    ],
)
def test_one_place_has_one_name(text: str, uri: str | None, scheme: str) -> None:
    found = checked_location("--out", text)
    assert found.uri == (uri or text)
    assert found.scheme == scheme
    assert checked_location("--out", found.uri) == found


@given(st.text(alphabet="abc/. '$", min_size=1, max_size=12))
def test_the_copying_commands_survive_a_shell(name: str) -> None:
    import shlex

    try:
        where = checked_location("--out", f"/nfs/{name}")
    except InputError:
        return
    first = copy_text(where, "head", "my runs").splitlines()[0]
    assert shlex.split(first) == ["rsync", "-a", f"head:{where.path}/", "my runs/"]
