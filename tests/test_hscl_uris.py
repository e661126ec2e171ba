"""No secret of a URI gets anywhere: neither through a function nor through any command."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.connect.uris import checked_location
from hscl.cli.main import main
from hscl.errors import InputError
from hscl.uris import refuse_credentials
from tune.tables.storage import open_folder

SECRET = "wJalrXUtnFEMI"
CARRYING = [
    f"s3://AKIAIOSF:{SECRET}@bucket/run",
    f"s3://AKIAIOSF:{SECRET}/K7MDENG@bucket/run",
    f"s3://{SECRET}@bucket/run",
    f"s3://AKIAIOSF%3A{SECRET}%40bucket/run",
    *(
        f"s3://bucket/run?region=eu-west-1&{name}={SECRET}"
        for name in (
            "access_key",
            "secret_key",
            "session_token",
            "access_token",
            "credential",
            "password",
            "Password",
            "passphrase",
            "pwd",
            "sig",
            "signature",
            "sas",
            "pass%77ord",
        )
    ),
    f"s3://bucket/run?region=a;password={SECRET}",
    f"s3://bucket/run#token={SECRET}",
    f"https://bucket.s3.amazonaws.com/run?X-Amz-Signature={SECRET}",
    f"gs://bucket/run?access_token={SECRET}",
    f"abfs://container/run?account_key={SECRET}",
    *(
        f"s3://bucket/run?{name}={SECRET}"
        for name in ("AWSAccessKeyId", "apikey", "accessKey", "Key-Pair-Id", "key", "sasToken")
    ),
    f"s3://bucket/my data?secret_key={SECRET}",
    f"s3:// AKIAIOSF:{SECRET}@bucket/run",
    f"s3://AKIAIOSF:my {SECRET}@bucket/run",
    f"s3://bucket/run?endpoint_override=http%3A%2F%2FAKIA%3A{SECRET}%40minio:9000",
    f"s3://bucket/run?endpoint_override=http%253A%252F%252FAKIA%253A{SECRET}%2540minio:9000",
    f"s3://bucket/run?endpoint_override=http://AKIA:{SECRET}@minio:9000",
    f"s3://bucket/run?endpoint_override=AKIA:{SECRET}@minio:9000",
    f"s3://bucket/run?endpoint_override=http%3A%2F%2Fminio%3Fpassword={SECRET}",
]
HARMLESS = [
    "s3://bucket/run",
    "s3://bucket/key=1&token=2/run@v2",
    "s3://bucket/run?region=eu-west-1&endpoint_override=127.0.0.1:9000&scheme=http",
    "s3://bucket/run?allow_delayed_open=true",
    "gs://bucket/run?retry_limit_seconds=3",
    "http://HOST:PORT",
    "http://[::1]:8265",
    "/nfs/password=1/run",
    "runs/me@host",
    "s3://bucket/run?endpoint_override=http%3A%2F%2Fminio:9000&scheme=http",
    "https://example.com/watch?keyword=monkey&disaster=2&design=3",
    "https://example.com/news?to=me@example.com&from=https%3A%2F%2Fsocial.example%2F@you",
    "i love https://example.com thanks @john",
    "i love https://example.com\n@john",
    "https://example.com: what a film, @john",
    "have you seen https://t.co/x? a disaster of a movie",
    "have you seen https://t.co/x? the secret key = good acting & no token = bad",
    "see https://a.b/c; hockey night",
]
COMMANDS = [
    "search STUDY --data URI --out OUT",
    "search STUDY --data DATA --out URI",
    "search STUDY --data DATA --out=URI",
    "search STUDY --data DATA --out OUT --warm-start URI",
    "search URI --data DATA --out OUT",
    "search STUDY --data DATA --dry-run --out URI",
    "confirm URI --data DATA",
    "status URI",
    "status URI --json",
    "table trials URI",
    "table trials OUT --out URI",
    "tensorboard URI",
    "tensorboard OUT --out URI",
    "compare URI",
    "compare OUT URI",
    "compare OUT --out URI",
    "export URI --out OUT",
    "export OUT --out URI",
    "report URI",
    "report OUT --out URI",
    "simulate --from URI",
    "train STUDY --data URI --out OUT",
    "evaluate URI --data DATA",
    "predict OUT --data URI",
    "data check URI",
    "cluster submit STUDY --data URI --out /o",
    "cluster submit STUDY --data /d --out URI",
    "cluster status --out URI",
    "cluster logs --out URI",
    "cluster resume --out URI",
    "cluster resume --out /o --data URI",
    "cluster fetch OUT --out URI",
    "cluster doctor --data URI",
    "cluster doctor --out URI",
    "cluster list URI",
    "cluster stop URI",
    "cluster list --address URI",
]


@pytest.mark.parametrize("uri", CARRYING)
def test_credentials_are_refused_and_not_repeated(uri: str) -> None:
    for refuse in (refuse_credentials, open_folder, lambda it: checked_location("--out", it)):
        with pytest.raises(InputError, match="must not carry credentials") as caught:
            refuse(uri)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize("uri", HARMLESS)
def test_what_is_no_secret_is_let_through(uri: str) -> None:
    refuse_credentials(uri)
    refuse_credentials(f"--out={uri}")


@given(st.text(), st.text(alphabet="?#&;=@:/[]%", max_size=6))
def test_any_text_is_let_through_or_refused(text: str, marks: str) -> None:
    with suppress(InputError):
        refuse_credentials(f"s3://{marks}{text}")


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_repeats_a_secret(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.toml").write_text(
        '[space]\n"loss.temperature" = { uniform = [0.1, 0.9] }\n'
    )
    for uri in CARRYING:
        named = {"URI": uri, "STUDY": "study.toml", "DATA": "d.arrow", "OUT": "out"}
        arguments = []
        for word in command.split():
            option, mark, value = word.rpartition("=")
            arguments.append(option + mark + named.get(value, value))
        with pytest.raises(SystemExit) as left:
            main(arguments)
        printed = capfd.readouterr()
        assert left.value.code == 2
        assert SECRET not in printed.out + printed.err
        assert "must not carry credentials" in printed.err
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]
