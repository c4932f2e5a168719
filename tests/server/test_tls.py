"""With a certificate the service speaks HTTPS, and nothing else."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.cli.command import run, serving
from tests.fleets import Certificates

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
RULES = "version: 1\nlimits:\n  api: {rate: 5/minute, key: client_address}\n"


def settings_in(folder: Path, cert: Path, key: Path) -> Path:
    """Write settings, and return the file."""
    (folder / "rules.yaml").write_text(RULES, "utf-8")
    path = folder / "settings.toml"
    path.write_text(f'[server]\ntls_cert_file = "{cert}"\ntls_key_file = "{key}"\n', "utf-8")
    return path


def test_a_service_with_a_certificate_speaks_https_alone(tmp_path: Path) -> None:
    """Whoever trusts its authority is answered; whoever does not, or speaks plainly, is not."""
    own = Certificates(tmp_path)
    path = settings_in(tmp_path, own.cert, own.key)
    with serving(tmp_path / "rules.yaml", "--config", str(path), "--drain-delay", "0") as service:
        assert service.url.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=str(own.ca))
        answer = httpx.post(f"{service.url}/v1/acquire", json={"limit": "api", "key": "k"}, verify=trusting)
        assert answer.json()["remaining"] == 4
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{service.url}/livez")
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{service.url.replace('https', 'http')}/livez")
        ask = ("acquire", "api", "k", "--url", service.url)
        distrusted = run(*ask)
        assert (distrusted.code, "its certificate is not trusted: SSL_CERT_FILE" in distrusted.err) == (3, True)
        assert run(*ask, SSL_CERT_FILE=str(own.ca)).out.startswith("allowed")
        service.terminate()
        assert service.ended() == 0


@pytest.mark.parametrize("broken", ["missing", "junk", "another key"])
def test_a_certificate_that_cannot_be_used_is_refused(tmp_path: Path, broken: str) -> None:
    """Before anything listens, in one line."""
    own = Certificates(tmp_path)
    (tmp_path / "other").mkdir()
    other = Certificates(tmp_path / "other")
    (tmp_path / "junk").write_text("junk", "utf-8")
    cert = {"missing": tmp_path / "missing", "junk": tmp_path / "junk"}.get(broken, own.cert)
    path = settings_in(tmp_path, cert, other.key if broken == "another key" else own.key)
    ran = run("serve", "--rules", str(tmp_path / "rules.yaml"), "--config", str(path), "--port", "0")
    assert ran.code == 2
    (line,) = [each for each in ran.err.splitlines() if each.startswith("error: ")]
    assert line.startswith(("error: server.tls_cert_file: found ", "error: server.tls_cert_file (set by "))
    assert "Traceback" not in ran.err
