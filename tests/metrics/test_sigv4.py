from __future__ import annotations

from datetime import UTC, datetime

import pytest

from flaggerpy.metrics.sigv4 import Credentials, Scope, signed

NOW = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
JSON = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "GraniteServiceVersion20100801.GetMetricData"}


# The first two are AWS' own examples (post-vanilla, post-x-www-form-urlencoded), the others are botocore's answers.
@pytest.mark.parametrize(
    ("url", "headers", "body", "token", "service", "signature"),
    [
        pytest.param(
            *("https://example.amazonaws.com/", {}, b"", "", "service"),
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            id="nothing but a POST",
        ),
        pytest.param(
            "https://example.amazonaws.com/",
            {"Content-Type": "application/x-www-form-urlencoded"},
            *(b"Param1=value1", "", "service"),
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            id="a body",
        ),
        pytest.param(
            *("https://monitoring.eu-west-1.amazonaws.com/", JSON, b'{"a":1}', "t0ken==", "monitoring"),
            "03aa2ae19d9dd6eb916ed25f926b6cc278ef83cb4d559e260bab0ca7c96bae3f",
            id="a token",
        ),
        pytest.param(
            *("http://127.0.0.1:8080/some path/~x/", {"X-Blanks": "  a   b "}, b"", "", "monitoring"),
            "284757ab409f3f93e54fc237d241139bf96270f5b9c585551669e1899a80d9de",
            id="a port, a path and blanks",
        ),
    ],
)
def test_a_signature_is_the_one_that_aws_expects(
    url: str, headers: dict[str, str], body: bytes, token: str, service: str, signature: str
) -> None:
    found = signed(url, headers, body, Credentials("AKIDEXAMPLE", SECRET, token), Scope("us-east-1", service), NOW)

    begins = f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/{service}/aws4_request, SignedHeaders="
    assert found["Authorization"].startswith(begins)
    assert found["Authorization"].endswith(f"Signature={signature}")
    assert found["X-Amz-Date"] == "20150830T123600Z"
    assert found.get("X-Amz-Security-Token", "") == token


def test_credentials_do_not_show_themselves() -> None:
    assert repr(Credentials("AKIDEXAMPLE", SECRET, "t0ken")) == "Credentials(key_id='AKIDEXAMPLE')"
