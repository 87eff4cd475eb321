"""MQTT for asyncio: one connection to one broker, from connect to disconnect.

paho-mqtt knows the packets, asyncio owns the socket and the time, and this file joins them. There is no thread: paho is
handed a stream that reads from and writes to an asyncio transport. A `Connection` lives once. Who wants to reconnect
opens another one, because what must survive a lost connection lives in a ledger and not in a client library.

The broker is a pipe. MQTT 5 is spoken where the broker speaks it, since there a refused publish is visible; MQTT 3.1.1
at QoS 1 is all that correctness needs (OASIS MQTT 5.0 and 3.1.1).
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from shared.clock import WALL_FLOOR_MS, Clock, SystemClock

log = logging.getLogger(__name__)

MqttVersion = Literal[5, 4]
"""MQTT 5.0, or 4 for MQTT 3.1.1: the protocol level as it stands in CONNECT."""

# Name look-up, TCP and TLS over a poor cellular link take seconds; a broker that needs longer is down.
CONNECT_TIMEOUT_S = 15.0
# A broker that knows only 3.1.1 may take an MQTT 5 CONNECT for a longer packet and wait for its rest (amqtt does).
# Longer than any round trip; a slow broker that is taken for an old one costs the reason codes and nothing else.
VERSION_TIMEOUT_S = 4.0
# Time for a last DISCONNECT to leave; after it the socket is cut.
CLOSE_TIMEOUT_S = 2.0
# How long a subscription may stay unanswered before the connection counts as dead.
SUBSCRIBE_TIMEOUT_S = 20.0
# Received and not yet taken: beyond it reading pauses, and TCP slows the broker down.
RECEIVED_MAX = 1_000
# Asked to publish and not yet sent, beyond the window: a caller who piles up more has no back-pressure of its own.
WAITING_MAX = 10_000
# Largest packet we take; config commands are the largest that go down, with 200 kB of text.
PACKET_BYTES_MAX = 262_144
# Fixed header, topic length, packet id and properties of a PUBLISH: an upper bound for ours.
_PUBLISH_OVERHEAD = 64
# How long a broker should keep the session of a client that did not ask for a clean one.
SESSION_EXPIRY_S = 3_600
# How many times per keepalive we look whether a ping is due.
_LOOKS_PER_KEEPALIVE = 8

# Answers to CONNECT, in paho's words for both versions, that heal only when somebody changes the access rules.
_NO_ACCESS = ("Bad user name or password", "Not authorized", "Banned")

# OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which the ssl module does not name.
_NO_CHECK_TIME = ssl.VerifyFlags(0x200000)


class Disconnected(Exception):
    """There is no connection, or it ended; `reason` says why. Whether a publish in flight arrived is unknown."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class AccessRefused(Disconnected):
    """The broker answers and does not let this client in: its name or its password is wrong, or was taken away."""


class PublishRefused(Exception):
    """The broker took the connection but not this message: usually its access rules, sometimes its size."""

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f"{topic}: publish refused: {reason}")
        self.topic = topic
        self.reason = reason


class SubscribeRefused(Exception):
    """The broker does not let this client read this topic filter."""

    def __init__(self, topic_filter: str, reason: str) -> None:
        super().__init__(f"{topic_filter}: subscription refused: {reason}")
        self.topic_filter = topic_filter
        self.reason = reason


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. `ca_file` None means the system's authorities; `cert_file` and `key_file` identify this client."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class MqttAddress:
    """Where a broker listens; `tls` None means plain TCP."""

    host: str
    port: int
    tls: TlsFiles | None = None

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Message:
    """One received message. At QoS 1 it is unacknowledged until `ack` is called; unacknowledged ones come again."""

    topic: str
    payload: bytes
    retain: bool
    duplicate: bool
    _acknowledge: Callable[[], None] = field(repr=False)

    def ack(self) -> None:
        """Tell the broker that this message is safe here; after a disconnect it does nothing."""
        self._acknowledge()


@dataclass(frozen=True, slots=True)
class _Publish:
    topic: str
    payload: bytes
    qos: Literal[0, 1]
    expires_s: int | None
    done: asyncio.Future[None]


class _VersionNotSpoken(Exception):
    """The broker ended the conversation before it accepted this MQTT version."""


class _Stream(asyncio.Protocol):
    """The socket that paho reads and writes: bytes that arrived, and an asyncio transport for those that leave."""

    def __init__(self, arrived: Callable[[], None]) -> None:
        self._arrived = arrived
        self._in = bytearray()
        self._out = bytearray()
        self._transport: asyncio.Transport | None = None
        self._end: Exception | None = None
        self.ended = False
        self.closed = asyncio.get_running_loop().create_future()

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._in += data
        self._arrived()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended, self._end = True, exc
        if not self.closed.done():
            self.closed.set_result(None)
        self._arrived()

    # what paho calls

    def recv(self, buffer_size: int) -> bytes:
        if self._in:
            chunk = bytes(self._in[:buffer_size])
            del self._in[:buffer_size]
            return chunk
        if self.ended:
            return b""
        raise BlockingIOError

    def send(self, buffer: bytes | bytearray) -> int:
        """Packets written in one turn of the event loop leave together: fewer system calls, fewer TLS records."""
        if self.ended:
            raise ConnectionResetError(self.why())
        if not self._out:
            asyncio.get_running_loop().call_soon(self.flush)
        self._out += buffer
        return len(buffer)

    def close(self) -> None:
        self.flush()
        if self._transport is not None:
            self._transport.close()

    def fileno(self) -> int:
        return -1

    def setblocking(self, flag: bool) -> None:
        """The stream never blocks."""

    # what the connection calls

    @property
    def has_bytes(self) -> bool:
        return bool(self._in)

    def flush(self) -> None:
        if self._out and self._transport is not None and not self._transport.is_closing():
            self._transport.write(bytes(self._out))
        self._out.clear()

    def read_on(self, wanted: bool) -> None:
        if self._transport is not None and not self._transport.is_closing():
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def why(self) -> str:
        if self._end is None:
            return "the broker closed the connection"
        return f"connection lost ({getattr(self._end, 'strerror', None) or self._end})"


class _Client(paho.Client):
    """paho offers no public way to be handed a connected socket: this is the one private method that we replace."""

    stream: _Stream

    def _create_socket(self) -> Any:
        return self.stream


class Connection:
    """One live connection. Made by `connect`; every call raises `Disconnected` once the connection is gone."""

    def __init__(self, client: _Client, address: MqttAddress, client_id: str, version: MqttVersion) -> None:
        self.version = version
        self._client = client
        self._name = f"{client_id}@{address}"
        self._loop = asyncio.get_running_loop()
        self._accepted: asyncio.Future[None] = self._loop.create_future()
        self._gone: str | None = None
        self._inbox: deque[Message] = deque()
        self._news = asyncio.Event()
        self._reading = True
        self._waiting: deque[_Publish] = deque()
        self._in_flight: dict[int, _Publish] = {}
        self._window = 1
        self._peer_packet_max = PACKET_BYTES_MAX
        self._subscribing: dict[int, asyncio.Future[None]] = {}
        self._ticker: asyncio.TimerHandle | None = None
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message

    def __repr__(self) -> str:
        return f"Connection({self._name}, MQTT {'5' if self.version == 5 else '3.1.1'}, {self._gone or 'open'})"

    # --- what callers do ---

    async def subscribe(self, topic_filter: str, *, qos: Literal[0, 1] = 1) -> None:
        """Return once the broker granted the subscription; raises `SubscribeRefused`.

        Retained messages are not asked for; a 3.1.1 broker sends them all the same, marked `retain`.
        """
        self._check_open()
        if self.version == 5:
            options = SubscribeOptions(qos=qos, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
            _, packet_id = self._client.subscribe(topic_filter, options=options)
        else:
            _, packet_id = self._client.subscribe(topic_filter, qos)
        if packet_id is None:
            raise Disconnected(self._gone or "the connection ended while subscribing")
        answered: asyncio.Future[None] = self._loop.create_future()
        self._subscribing[packet_id] = answered
        try:
            async with asyncio.timeout(SUBSCRIBE_TIMEOUT_S):
                await answered
        except TimeoutError as error:
            raise Disconnected(f"no answer to a subscription within {SUBSCRIBE_TIMEOUT_S:.0f} s") from error
        except _SubscriptionDenied as denied:
            raise SubscribeRefused(topic_filter, str(denied)) from None
        finally:
            self._subscribing.pop(packet_id, None)

    async def publish(
        self, topic: str, payload: bytes, *, qos: Literal[0, 1] = 1, expires_s: int | None = None
    ) -> None:
        """Return once the broker acknowledged; raises `PublishRefused` or `Disconnected`.

        An acknowledgement says that the broker has the message, not that anybody stored it.
        """
        await self.publish_soon(topic, payload, qos=qos, expires_s=expires_s)

    def publish_soon(
        self, topic: str, payload: bytes, *, qos: Literal[0, 1] = 1, expires_s: int | None = None
    ) -> asyncio.Future[None]:
        """Queue a message behind the earlier ones; the future ends as `publish` would, and may be dropped.

        `expires_s` asks an MQTT 5 broker to forget the message after so many seconds; 3.1.1 knows no such thing.
        """
        self._check_open()
        size = len(topic.encode()) + len(payload) + _PUBLISH_OVERHEAD
        if size > self._peer_packet_max:
            raise PublishRefused(topic, f"about {size} bytes, the broker takes {self._peer_packet_max}")
        if len(self._waiting) >= WAITING_MAX:
            raise PublishRefused(topic, f"{WAITING_MAX} messages wait already")
        done: asyncio.Future[None] = self._loop.create_future()
        done.add_done_callback(_look_at)
        self._waiting.append(_Publish(topic, payload, qos, expires_s, done))
        self._send_waiting()
        self._pace_reading()
        return done

    async def next_batch(self, limit: int) -> list[Message]:
        """Wait for at least one message and return up to `limit` that are here, in order of arrival.

        A broker has a window of its own (20 by custom) and sends no more until something is acknowledged: take what
        is here, acknowledge, and come back. What arrived before a connection was lost is still handed out; then
        `Disconnected` is raised.
        """
        while not self._inbox:
            self._check_open()
            self._news.clear()
            await self._news.wait()
        batch = [self._inbox.popleft() for _ in range(min(limit, len(self._inbox)))]
        self._pace_reading()
        return batch

    async def messages(self) -> AsyncIterator[Message]:
        """Every message in order of arrival, for one reader; ends only by `Disconnected`."""
        while True:
            for message in await self.next_batch(1):
                yield message

    # --- opening and closing ---

    async def _open(self, keepalive_s: int, clean: bool, max_in_flight: int) -> None:
        self._window = max_in_flight
        properties = _connect_properties(clean) if self.version == 5 else None
        clean_start = clean if self.version == 5 else paho.MQTT_CLEAN_START_FIRST_ONLY
        # The host is a label here: the stream is connected already.
        self._client.connect("connected", keepalive=keepalive_s, clean_start=clean_start, properties=properties)
        self._tick()
        await self._accepted

    async def _close(self) -> None:
        if self._gone is None:
            self._client.disconnect()
        self._lose("closed by this side")
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await asyncio.shield(self._client.stream.closed)
        except TimeoutError:
            log.info("%s: the last bytes did not leave within %.0f s", self._name, CLOSE_TIMEOUT_S)
        finally:
            self._client.stream.abort()

    def _tick(self) -> None:
        """Let paho look at its keepalive: a ping when it is due, the end when the last one was not answered."""
        if self._gone is None:
            self._client.loop_misc()
            # A broker may set the keepalive to 0, no pings: then this must not become a busy loop.
            pause_s = max(self._client.keepalive / _LOOKS_PER_KEEPALIVE, 1.0)
            self._ticker = self._loop.call_later(pause_s, self._tick)

    def _bytes_arrived(self) -> None:
        """The stream has bytes, or has ended: let paho read packets until it wants more."""
        stream = self._client.stream
        while self._gone is None and (stream.has_bytes or stream.ended):
            if self._client.loop_read() is not MQTTErrorCode.MQTT_ERR_SUCCESS:
                break
        if self._gone is None:
            self._send_waiting()
            if self._client.want_write():
                self._client.loop_write()
            self._pace_reading()

    def _lose(self, reason: str) -> None:
        if self._gone is not None:
            return
        self._gone = reason
        if self._ticker is not None:
            self._ticker.cancel()
        for publish in [*self._in_flight.values(), *self._waiting]:
            if not publish.done.done():
                publish.done.set_exception(Disconnected(reason))
        self._in_flight.clear()
        self._waiting.clear()
        for answered in self._subscribing.values():
            if not answered.done():
                answered.set_exception(Disconnected(reason))
        self._news.set()

    def _check_open(self) -> None:
        if self._gone is not None:
            raise Disconnected(self._gone)

    # --- both directions ---

    def _send_waiting(self) -> None:
        """Keep at most `window` publishes unacknowledged: the broker's Receive Maximum is a promise, not a hint."""
        while self._waiting and len(self._in_flight) < self._window:
            publish = self._waiting.popleft()
            if publish.done.done():  # its caller was cancelled
                continue
            properties = None
            if publish.expires_s is not None and self.version == 5:
                properties = _properties(PacketTypes.PUBLISH)
                properties.MessageExpiryInterval = publish.expires_s
            sent = self._client.publish(publish.topic, publish.payload, publish.qos, properties=properties)
            if publish.qos == 0:
                publish.done.set_result(None)
            else:
                self._in_flight[sent.mid] = publish

    def _pace_reading(self) -> None:
        """Stop reading while the inbox is full, except when someone waits for an answer that is only to be read.

        A reader who stands still for two keepalives loses the connection that way, and the broker gives its
        unacknowledged messages to another.
        """
        wanted = len(self._inbox) < RECEIVED_MAX or bool(self._in_flight) or bool(self._subscribing)
        if wanted is not self._reading and self._gone is None:
            self._reading = wanted
            self._client.stream.read_on(wanted)

    # --- what paho reports ---

    def _on_connect(
        self, client: paho.Client, userdata: Any, flags: Any, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            refusal = f"the broker refused the connection: {reason}"
            kinds: dict[str, type[Exception]] = {"Unsupported protocol version": _VersionNotSpoken}
            kinds |= dict.fromkeys(_NO_ACCESS, AccessRefused)
            self._fail_open(kinds.get(str(reason), Disconnected)(refusal))
            return
        self._window = min(self._window, getattr(properties, "ReceiveMaximum", self._window))
        self._peer_packet_max = min(
            getattr(properties, "MaximumPacketSize", PACKET_BYTES_MAX) or PACKET_BYTES_MAX, PACKET_BYTES_MAX
        )
        if not self._accepted.done():
            self._accepted.set_result(None)

    def _on_disconnect(
        self, client: paho.Client, userdata: Any, flags: Any, reason: ReasonCode, properties: Properties | None
    ) -> None:
        told = f"the broker ended it: {reason}" if flags.is_disconnect_packet_from_server else ""
        stream = self._client.stream
        because = told or (stream.why() if stream.ended else f"connection lost ({reason})")
        self._fail_open(_VersionNotSpoken(because))
        self._lose(because)

    def _fail_open(self, error: Exception) -> None:
        if not self._accepted.done():
            self._accepted.set_exception(error)

    def _on_publish(
        self, client: paho.Client, userdata: Any, packet_id: int, reason: ReasonCode, properties: Properties | None
    ) -> None:
        publish = self._in_flight.pop(packet_id, None)
        if publish is None or publish.done.done():
            return
        # 0x10, no matching subscribers, is below 0x80 and a success: delivery is not the broker's promise.
        if reason.is_failure:
            publish.done.set_exception(PublishRefused(publish.topic, str(reason)))
        else:
            publish.done.set_result(None)

    def _on_subscribe(
        self,
        client: paho.Client,
        userdata: Any,
        packet_id: int,
        reasons: list[ReasonCode],
        properties: Properties | None,
    ) -> None:
        answered = self._subscribing.get(packet_id)
        if answered is None or answered.done():
            return
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            answered.set_exception(_SubscriptionDenied(refused[0]))
        else:
            answered.set_result(None)

    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        def acknowledge() -> None:
            if self._gone is None:
                self._client.ack(message.mid, message.qos)

        try:
            topic = message.topic
        except UnicodeDecodeError:
            # The standard forbids it; acknowledged, because it would come again for ever.
            log.warning("%s: a message with a topic that is not UTF-8 was dropped", self._name)
            self._loop.call_soon(acknowledge)
            return
        self._inbox.append(Message(topic, bytes(message.payload), message.retain, message.dup, acknowledge))
        self._news.set()


class _SubscriptionDenied(Exception):
    """The reason in a SUBACK, on its way to the caller who knows the topic filter."""


def _look_at(done: asyncio.Future[None]) -> None:
    """Mark a failure as seen: whoever drops the future of `publish_soon` has said that it does not matter."""
    if not done.cancelled():
        done.exception()


def _properties(packet_type: int) -> Properties:
    return Properties(packet_type)  # type: ignore[no-untyped-call]  # paho leaves this one constructor untyped


def _connect_properties(clean: bool) -> Properties:
    properties = _properties(PacketTypes.CONNECT)
    properties.ReceiveMaximum = RECEIVED_MAX
    properties.MaximumPacketSize = PACKET_BYTES_MAX
    if not clean:
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
    return properties


def tls_context(tls: TlsFiles, clock: Clock) -> ssl.SSLContext:
    """Verification is always on. Only the dates are left out when this computer cannot know what day it is.

    An OSError names the file that cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
    except OSError as error:
        why = "holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise OSError(error.errno, f"{tls.ca_file}: {why}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.cert_file is not None:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    if clock.wall_ms() < WALL_FLOOR_MS:
        context.verify_flags |= _NO_CHECK_TIME
    return context


def _check_dates_against_floor(transport: asyncio.BaseTransport) -> None:
    """With the clock unset it is at least the build's date: a certificate that ended before it is refused.

    The standard library shows the server's own certificate and not the chain, so an authority that ended meanwhile is
    found only once the clock is set; signature and host name are checked by OpenSSL as always.
    """
    certificate = transport.get_extra_info("peercert")
    not_after_ms = int(ssl.cert_time_to_seconds(certificate["notAfter"])) * 1000
    if not_after_ms < WALL_FLOOR_MS:
        raise Disconnected(
            f"the broker's certificate ended on {certificate['notAfter']}, before this software was made"
        )


def why_not_dialled(error: OSError) -> str:
    """Why a connection could not be opened, in few words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message.rstrip('.')}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS is spoken there ({error.reason or error})"
    if isinstance(error, ConnectionError) and error.errno:
        return os.strerror(error.errno)  # asyncio has words of its own
    return error.strerror or str(error)


async def _dial(address: MqttAddress, clock: Clock, arrived: Callable[[], None]) -> _Stream:
    """Open TCP and TLS; every failure becomes `Disconnected` with the cause."""
    loop = asyncio.get_running_loop()
    clock_unset = clock.wall_ms() < WALL_FLOOR_MS
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            context = tls_context(address.tls, clock) if address.tls else None
            transport, stream = await loop.create_connection(
                lambda: _Stream(arrived), address.host, address.port, ssl=context
            )
    except TimeoutError as error:
        raise Disconnected(f"{address}: no connection within {CONNECT_TIMEOUT_S:.0f} s") from error
    except OSError as error:
        raise Disconnected(f"{address}: {why_not_dialled(error)}") from error
    if clock_unset and address.tls is not None:
        try:
            _check_dates_against_floor(transport)
        except Disconnected:
            transport.abort()
            raise
    return stream


@dataclass(frozen=True, slots=True)
class _Identity:
    client_id: str
    username: str | None
    password: str | None = field(repr=False)
    will: tuple[str, bytes] | None


def _new_client(version: MqttVersion, who: _Identity, clean: bool) -> _Client:
    client = _Client(
        CallbackAPIVersion.VERSION2,
        who.client_id,
        clean_session=clean if version == 4 else None,
        protocol=MQTTProtocolVersion.MQTTv5 if version == 5 else MQTTProtocolVersion.MQTTv311,
        reconnect_on_failure=False,
        manual_ack=True,
    )
    # Our own window counts; paho's would queue a second time.
    client.max_inflight_messages_set(0)
    if who.username is not None:
        client.username_pw_set(who.username, who.password)
    if who.will is not None:
        client.will_set(who.will[0], who.will[1], qos=1, retain=False)
    return client


@asynccontextmanager
async def connect(
    address: MqttAddress,
    *,
    client_id: str,
    username: str | None = None,
    password: str | None = None,
    will: tuple[str, bytes] | None = None,
    keepalive_s: int = 60,
    max_inflight: int = 20,
    clean: bool = True,
    version: MqttVersion | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Connection]:
    """Connect, and disconnect when the block ends; raises `Disconnected`.

    Args:
        will: topic and payload that the broker publishes (QoS 1, not retained) when the connection dies, also when
            the block is left by an error.
        clean: False asks the broker to keep subscriptions and undelivered messages over a reconnect.
        version: speak only this version. None tries MQTT 5, then 3.1.1; `link.version` says which one it was, and a
            caller who remembers it spares the first attempt next time.
        clock: decides whether certificate dates can be judged.
    """
    clock = clock or SystemClock()
    who = _Identity(client_id, username, password, will)
    versions: tuple[MqttVersion, ...] = (5, 4) if version is None else (version,)
    link = await _first_spoken(versions, address, who, clock, keepalive_s, max_inflight, clean)
    try:
        yield link
    except Exception:
        # Cut rather than close: a client that fails leaves its will.
        link._client.stream.abort()
        raise
    finally:
        await link._close()


async def _first_spoken(
    versions: tuple[MqttVersion, ...],
    address: MqttAddress,
    who: _Identity,
    clock: Clock,
    keepalive_s: int,
    max_inflight: int,
    clean: bool,
) -> Connection:
    not_spoken = ""
    for version in versions:
        last = version == versions[-1]
        client = _new_client(version, who, clean)
        link = Connection(client, address, who.client_id, version)
        client.stream = await _dial(address, clock, link._bytes_arrived)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S if last else VERSION_TIMEOUT_S):
                await link._open(keepalive_s, clean, max_inflight)
        except (TimeoutError, _VersionNotSpoken) as error:
            not_spoken = str(error) or "the broker took the connection and does not answer"
            await link._close()
        except BaseException:
            await link._close()
            raise
        else:
            return link
    raise Disconnected(f"{address}: {not_spoken}")
