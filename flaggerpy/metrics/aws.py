"""Where credentials for AWS come from: the Secret, or what the Pod of the controller has.

The Pod's are looked for where AWS' own libraries look, first found first taken: the environment; the role of the
service account (IRSA); EKS Pod Identity; the role of the node. Profiles in files are not read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

from flaggerpy.metrics.asking import send
from flaggerpy.metrics.outbound import Call, Outbound, OutboundError, place
from flaggerpy.metrics.reading import json_of
from flaggerpy.metrics.sigv4 import Credentials
from flaggerpy.metrics.tokens import Lent, NotLent

SECRET_KEYS = ("aws_access_key_id", "aws_secret_access_key")
SECRET_TOKEN = "aws_session_token"  # noqa: S105 - the name of a key, not a token
_NODE = "http://169.254.169.254"
_NODE_SECONDS = 2.0
"""The node answers at once or there is none."""
_ROLES = "/latest/meta-data/iam/security-credentials/"
_SIZE = 65_536


@dataclass(frozen=True, slots=True)
class Pod:
    """What the controller's Pod knows of AWS."""

    environment: Mapping[str, str] = field(repr=False)
    region: str
    outbound: Outbound
    seconds: float

    @property
    def whose(self) -> tuple[str, ...]:
        """Tell apart what is lent: the region decides who is asked."""
        return ("aws", self.region)

    async def lend(self) -> Lent[Credentials]:
        """Find credentials.

        Raises:
            NotLent: there are none, or who lends them did not answer.

        """
        known = self.environment.get
        if (key := known("AWS_ACCESS_KEY_ID")) and (secret := known("AWS_SECRET_ACCESS_KEY")):
            return Lent(Credentials(key, secret, known("AWS_SESSION_TOKEN", "")))
        if (role := known("AWS_ROLE_ARN")) and (file := known("AWS_WEB_IDENTITY_TOKEN_FILE")):
            return await self._of_service_account(role, file)
        if address := known("AWS_CONTAINER_CREDENTIALS_FULL_URI"):
            return await self._of_pod_identity(address)
        if known("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
            raise NotLent("there are no credentials for AWS in the controller's environment")
        return await self._of_node()

    async def _of_service_account(self, role: str, file: str) -> Lent[Credentials]:
        """Exchange the token that Kubernetes gave the Pod; the request is not signed, the token proves who asks."""
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": role,
            "RoleSessionName": self.environment.get("AWS_ROLE_SESSION_NAME") or "flaggerpy",
            "WebIdentityToken": await _text_of(file),
        }
        url = self.environment.get("AWS_ENDPOINT_URL_STS") or endpoint("sts", self.region)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        call = Call("POST", url, headers, urlencode(form).encode(), self.seconds, _SIZE)
        return lent_by_sts(await self._asked(call, f"the role {role}"))

    async def _of_pod_identity(self, address: str) -> Lent[Credentials]:
        file = self.environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        token = await _text_of(file) if file else self.environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
        headers = {"Authorization": token} if token else {}
        call = Call("GET", address, headers, seconds=self.seconds, size=_SIZE)
        return lent_as_json(await self._asked(call, "EKS Pod Identity"))

    async def _of_node(self) -> Lent[Credentials]:
        """Ask the node's metadata, whose answers are for whoever can say that it is on the node."""
        base = (self.environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or _NODE).rstrip("/")
        lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        seconds = min(self.seconds, _NODE_SECONDS)
        asked = Call("PUT", f"{base}/latest/api/token", lifetime, b"", seconds, _SIZE)
        token = (await self._asked(asked, "the node")).decode("ascii", "replace").strip()
        headers = {"X-aws-ec2-metadata-token": token}
        asked = Call("GET", f"{base}{_ROLES}", headers, seconds=seconds, size=_SIZE)
        role, *_ = (await self._asked(asked, "the node")).decode("ascii", "replace").split() or [""]
        asked = Call("GET", f"{base}{_ROLES}{role}", headers, seconds=seconds, size=_SIZE)
        return lent_as_json(await self._asked(asked, f"the node's role {role}"))

    async def _asked(self, call: Call, whom: str) -> bytes:
        """Ask who lends; what it says is not quoted, because it may repeat what it was sent."""
        what = f"no credentials for AWS from {whom} at {place(call.url)}"
        try:
            reply = await send(self.outbound, call)
        except OutboundError as error:
            raise NotLent(f"{what}: {error}", silent=True) from None
        if reply.truncated or not 200 <= reply.status < 300:
            said = code_of_sts(reply.body)
            raise NotLent(f"{what}: it answered {reply.status}{f' {said}' if said else ''}")
        return reply.body


def endpoint(service: str, region: str) -> str:
    """Return the address of a service in a region; China's have a domain of their own."""
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://{service}.{region}.{domain}"


def lent_as_json(body: bytes) -> Lent[Credentials]:
    """Read what Pod Identity and the node say.

    Raises:
        NotLent: these are no credentials.

    """
    document = json_of(body)
    found = document if isinstance(document, dict) else {}
    return _lent(found, "Token")


def lent_by_sts(body: bytes) -> Lent[Credentials]:
    """Read what the Security Token Service says, in XML.

    Raises:
        NotLent: these are no credentials.

    """
    return _lent(_texts(body), "SessionToken")


def code_of_sts(body: bytes) -> str:
    """Find the code of a refusal, as in AccessDenied; it is one of AWS' own words."""
    code = _texts(body).get("Code", "")
    return code if code.isalnum() and len(code) < 60 else ""


def _texts(body: bytes) -> dict[str, Any]:
    """Return the texts of an XML document by the names of their elements, without namespaces."""
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - expat refuses what grows, and the body is 64 KiB at most
    except (ElementTree.ParseError, ValueError, LookupError):
        return {}
    return {element.tag.rpartition("}")[2]: element.text for element in root.iter() if element.text}


def _lent(found: Mapping[str, Any], token: str) -> Lent[Credentials]:
    match [found.get(name) for name in ("AccessKeyId", "SecretAccessKey", token, "Expiration")]:
        case [str() as key, str() as secret, str() as session, str() as end]:
            return Lent(Credentials(key, secret, session), _moment(end))
        case _:
            raise NotLent("what was lent are no credentials for AWS")


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.replace(tzinfo=found.tzinfo or UTC)


async def _text_of(file: str) -> str:
    try:
        return (await asyncio.to_thread(Path(file).read_text, encoding="utf-8")).strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise NotLent(f"the token {file} of the service account cannot be read: {reason}") from None
