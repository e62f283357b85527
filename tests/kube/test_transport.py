"""Credentials: kubeconfig with certificates, tokens and plugins, the Pod's service account, and none at all."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_asyncio.config import incluster_config

from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import NoCredentials, Unreachable
from flaggerpy.kube.resources import DEPLOYMENTS
from flaggerpy.kube.transport import HttpTransport, connect, find_namespace, find_server
from tests.kube.certificates import Authority
from tests.kube.clocks import ManualClock
from tests.kube.fake_apiserver import FakeApiServer


@pytest.fixture(autouse=True)
def no_credentials_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def secure(authority: Authority) -> AsyncIterator[FakeApiServer]:
    """A server that demands a client certificate of its own authority."""
    pair = authority.sign("server", "127.0.0.1", "kubernetes.test")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.root))
    context.load_cert_chain(pair.certificate, pair.key)
    context.verify_mode = ssl.CERT_REQUIRED
    async with FakeApiServer(tls=context) as running:
        yield running


def kubeconfig(path: Path, url: str, cluster: dict[str, Any], user: dict[str, Any]) -> str:
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "clusters": [{"name": "here", "cluster": {"server": url, **cluster}}],
                "users": [{"name": "me", "user": user}],
                "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
            }
        )
    )
    return str(path)


async def works(transport: HttpTransport) -> None:
    async with transport:
        assert (await Client(transport).list(DEPLOYMENTS))[0] == []


async def test_certificates_in_files_beside_the_kubeconfig(
    tmp_path: Path, authority: Authority, secure: FakeApiServer
) -> None:
    authority.sign("me")
    user = {"client-certificate": "me.crt", "client-key": "me.key"}
    config = kubeconfig(tmp_path / "config", secure.url, {"certificate-authority": authority.root.name}, user)
    await works(await connect(config))


async def test_certificates_inside_the_kubeconfig_named_by_the_environment(
    tmp_path: Path, authority: Authority, secure: FakeApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = authority.sign("me")
    user = {"client-certificate-data": _data(pair.certificate), "client-key-data": _data(pair.key)}
    cluster = {"certificate-authority-data": _data(authority.root), "tls-server-name": "kubernetes.test"}
    monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path / "config", secure.url, cluster, user))
    await works(await connect())


def _data(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


async def test_a_server_of_another_authority_is_not_talked_to(
    tmp_path: Path, authority: Authority, secure: FakeApiServer
) -> None:
    stranger = Authority(tmp_path, "stranger")
    cluster = {"certificate-authority": str(stranger.root)}
    async with await connect(kubeconfig(tmp_path / "config", secure.url, cluster, {"token": "t"})) as transport:
        with pytest.raises(Unreachable):
            await Client(transport).list(DEPLOYMENTS)
    assert secure.requests == []


async def _authorization(server: FakeApiServer, transport: HttpTransport) -> str:
    await Client(transport).list(DEPLOYMENTS)
    return server.requests[-1].headers["Authorization"]


async def test_a_token_in_a_file_is_read_again_after_a_minute(tmp_path: Path, server: FakeApiServer) -> None:
    token, clock = tmp_path / "token", ManualClock()
    token.write_text("first\n")
    config = kubeconfig(tmp_path / "config", server.url, {}, {"tokenFile": "token"})
    async with HttpTransport(await find_server(config, clock=clock)) as transport:
        assert await _authorization(server, transport) == "Bearer first"
        token.write_text("second\n")
        assert await _authorization(server, transport) == "Bearer first"
        clock.jump(60)
        assert await _authorization(server, transport) == "Bearer second"
        token.unlink()
        clock.jump(60)
        assert await _authorization(server, transport) == "Bearer second", "what worked goes on being used"


async def test_a_plugin_is_asked_for_a_token_and_again_when_that_expires(tmp_path: Path, server: FakeApiServer) -> None:
    clock = ManualClock()
    answer = tmp_path / "answer.json"
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "cat", "args": [str(answer)]}
    config = kubeconfig(tmp_path / "config", server.url, {}, {"exec": plugin})
    _plugin_says(answer, "first")
    async with HttpTransport(await find_server(config, clock=clock)) as transport:
        assert await _authorization(server, transport) == "Bearer first"
        _plugin_says(answer, "second")
        clock.jump(60)
        assert await _authorization(server, transport) == "Bearer second"


def _plugin_says(answer: Path, token: str) -> None:
    status = {"token": token, "expirationTimestamp": "2020-01-01T00:00:00Z"}
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    answer.write_text(json.dumps(credential))


async def test_in_a_pod_the_service_account_is_used_and_its_token_read_again(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incluster_config, "TOKEN_REFRESH_PERIOD", incluster_config.TOKEN_REFRESH_PERIOD * 0)
    pair = authority.sign("server", "127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    account = tmp_path / "account"
    account.mkdir()
    (account / "ca.crt").write_bytes(authority.root.read_bytes())
    (account / "token").write_text("first\n")
    async with FakeApiServer(tls=context) as server:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", server.url.rsplit(":", 1)[1])
        async with HttpTransport(await find_server(service_account=account)) as transport:
            assert await _authorization(server, transport) == "Bearer first"
            (account / "token").write_text("second\n")
            assert await _authorization(server, transport) == "Bearer second"


@pytest.mark.parametrize("kubeconfig_flag", [None, "/nowhere/config"])
async def test_without_credentials_a_sentence_says_what_was_tried(kubeconfig_flag: str | None) -> None:
    tried = kubeconfig_flag or "~/.kube/config"
    with pytest.raises(NoCredentials, match=f"no usable credentials in {tried}: there is no such file"):
        await connect(kubeconfig_flag)


@pytest.mark.parametrize("content", ["nonsense: true", "[", "- a\n", "apiVersion: v1\nkind: Config\n"])
async def test_a_broken_kubeconfig_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(NoCredentials, match=str(path)):
        await connect(str(path))


@pytest.mark.parametrize(
    ("environment", "cluster", "expected"),
    [
        ({}, {}, None),
        ({"https_proxy": "http://proxy:1"}, {}, "http://proxy:1"),
        ({"https_proxy": "http://proxy:1", "no_proxy": "10.0.0.1"}, {}, None),
        ({"https_proxy": "http://proxy:1"}, {"proxy-url": "http://own:2"}, "http://own:2"),
    ],
    ids=["none", "from the environment", "not for this server", "the kubeconfig's own first"],
)
async def test_proxies(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    cluster: dict[str, str],
    expected: str | None,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    config = kubeconfig(tmp_path / "config", "https://10.0.0.1:6443", cluster, {"token": "t"})
    assert (await find_server(config)).proxy == expected


def two_contexts(path: Path, current: str = "here") -> str:
    """Write a kubeconfig with a context that names a namespace and one that names none."""
    contexts = [
        {"name": "here", "context": {"cluster": "here", "user": "me", "namespace": "shop"}},
        {"name": "there", "context": {"cluster": "there", "user": "me"}},
    ]
    servers = {"here": "http://10.0.0.1", "there": "http://10.0.0.2"}
    clusters = [{"name": name, "cluster": {"server": url}} for name, url in servers.items()]
    users = [{"name": "me", "user": {"token": "t"}}]
    body = {"current-context": current, "contexts": contexts, "clusters": clusters, "users": users}
    path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **body}))
    return str(path)


@pytest.mark.parametrize(
    ("title", "current", "context", "namespace", "url"),
    [
        ("the current context's namespace", "here", None, "shop", "http://10.0.0.1"),
        ("a context without one means default", "there", None, "default", "http://10.0.0.2"),
        ("a named context wins", "there", "here", "shop", "http://10.0.0.1"),
        ("a named context needs no current one", "", "here", "shop", "http://10.0.0.1"),
    ],
)
async def test_a_context_says_which_server_and_which_namespace(
    tmp_path: Path, title: str, current: str, context: str | None, namespace: str, url: str
) -> None:
    config = two_contexts(tmp_path / "config", current)
    assert find_namespace(config, context) == namespace, title
    assert (await find_server(config, context)).url == url, title


async def test_a_context_that_does_not_exist_is_named_with_those_that_do(tmp_path: Path) -> None:
    config = two_contexts(tmp_path / "config")
    said = r"no usable credentials in .*config: there is no context 'mars'; there are: here, there"
    with pytest.raises(NoCredentials, match=said):
        find_namespace(config, "mars")
    with pytest.raises(NoCredentials, match=said):
        await find_server(config, "mars")


def test_without_any_context_a_sentence_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoCredentials, match="no context is chosen; there are: here, there"):
        find_namespace(two_contexts(tmp_path / "config", ""))


@pytest.mark.parametrize("environment", [None, ""], ids=["unset", "empty"])
def test_in_a_pod_its_own_namespace_is_meant_unless_a_context_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: str | None
) -> None:
    if environment is not None:
        monkeypatch.setenv("KUBECONFIG", environment)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text("t")
    (account / "namespace").write_text("flagger-system\n")
    assert find_namespace(service_account=account) == "flagger-system"
    with pytest.raises(NoCredentials, match=r"~/\.kube/config: there is no such file"):
        find_namespace(context="here", service_account=account)
