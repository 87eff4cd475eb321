"""Can the broker be reached, and does TLS trust it? No login: a second client of that name would end the first."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any, Final, Literal

from edge_agent.settings import Uplink
from edge_agent.technician.speech import Speech
from shared import mqtt
from shared.clock import Clock

State = Literal["ok", "warn", "bad", "unknown"]
Found = tuple[str, State, str, str]

# A mobile network at its worst; what takes longer does not serve a vend either.
REACH_TIMEOUT_S: Final = 8.0
CLOSE_TIMEOUT_S: Final = 1.0
# A month is time enough to renew a certificate.
CERTIFICATE_WARN_DAYS: Final = 30
DAY_MS: Final = 24 * 3_600_000


async def reach(uplink: Uplink, clock: Clock, say: Speech) -> Sequence[Found]:
    """Open a connection as the agent would, up to the handshake."""
    where = f"{uplink.host}:{uplink.port}"
    tls = uplink.address.tls
    try:
        context = mqtt.tls_context(tls, clock) if tls else None
    except OSError as error:
        fix = say("put the broker's ca.crt there, or leave ca_file out for a public certificate")
        return [("tls", "bad", say.sentence(error.strerror), fix)]
    try:
        async with asyncio.timeout(REACH_TIMEOUT_S):
            _, writer = await asyncio.open_connection(uplink.host, uplink.port, ssl=context)
    except ssl.SSLCertVerificationError as error:
        return [
            ("broker", "ok", where, ""),
            ("tls", "bad", say.sentence(error.verify_message.rstrip(".")), _trust(error, say)),
        ]
    except (ssl.SSLError, ConnectionResetError) as error:
        fix = say("something else listens at this port: look at uplink.port and uplink.tls")
        return [("broker", "ok", where, ""), ("tls", "bad", _told(error, say), fix)]
    except (OSError, TimeoutError) as error:
        reason = say("no answer") if isinstance(error, TimeoutError) else _told(error, say)
        fix = say("is there a network (ip route, ping), is the name right (getent hosts), is the port open outwards?")
        return [("broker", "bad", f"{where}: {reason}", fix)]
    try:
        certificate: dict[str, Any] | None = writer.get_extra_info("peercert")
    finally:
        await _hang_up(writer)
    found: list[Found] = [("broker", "ok", where, "")]
    if certificate:
        found.append(_certificate(certificate, clock, say))
    elif not uplink.tls:
        found.append(("tls", "ok", say("not used: the broker is on this computer"), ""))
    return found


def _told(error: OSError, say: Speech) -> str:
    return say.sentence(mqtt.why_not_dialled(error))


def _trust(error: ssl.SSLCertVerificationError, say: Speech) -> str:
    """What to do about a certificate that is not trusted."""
    match error.verify_code:
        case 9:  # X509_V_ERR_CERT_NOT_YET_VALID
            return say("the clock of this computer is behind: timedatectl")
        case 10:  # X509_V_ERR_CERT_HAS_EXPIRED
            return say("is the date of this computer right (timedatectl)? Then the operator renews the certificate")
        case 62 | 64:  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
            return say("uplink.host is no name of the broker: write it as the operator gave it")
        case _:
            return say("ca_file is not the broker's: put the operator's ca.crt there")


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    """Close; a broker that does not answer the goodbye is left without it."""
    writer.close()
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()


def _certificate(certificate: dict[str, Any], clock: Clock, say: Speech) -> Found:
    ends_ms = int(ssl.cert_time_to_seconds(certificate["notAfter"]) * 1000)
    days = (ends_ms - clock.wall_ms()) // DAY_MS
    detail = say("the certificate is good for {days} days", days=days)
    if days < CERTIFICATE_WARN_DAYS:
        return ("tls", "warn", detail, say("tell the operator to renew it"))
    return ("tls", "ok", detail, "")
