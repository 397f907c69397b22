"""sec-43: what a policy says of a method holds for every spelling that an upstream could take for it."""
import pytest

from conftest import basic_config
from harness import Gateway, run

POLICY = """
applications:
  - name: archive
    domain: open.test
    policies: [{name: anything but DELETE, decision: bypass, include: [{everyone: {}}], exclude: [{method: DELETE}]}]
"""


@pytest.fixture
def archive(tmp_path, certs):
    with Gateway(tmp_path, basic_config(certs, more=POLICY)) as gateway:
        yield gateway


@pytest.mark.parametrize("method, status, reason", [
    ("GET", 200, None), ("PROPFIND", 200, None), ("purge", 200, None), ("DELETE", 403, "policy_no_match"),
    ("delete", 400, "bad_request"), ("Delete", 400, "bad_request"), ("get", 400, "bad_request")])
def test_sec_43_a_method_has_one_spelling(archive, method, status, reason):
    response = archive.get("open.test", method=method)
    assert (response.status, response.reason) == (status, reason)


def test_sec_43_explain_judges_the_method_as_run_does(archive):
    result = run("explain", "-c", archive.config, "--url", "https://open.test/", "--method", "delete", cwd=archive.directory)
    assert result.returncode == 1 and "bad_request" in result.stdout, result
