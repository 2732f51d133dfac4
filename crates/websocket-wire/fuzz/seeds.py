#!/usr/bin/env python3
"""Writes the first inputs of the fuzz targets into `corpus`, one interesting case each.

They are made from the RFCs, with another implementation of deflate. What an input looks like stands in the module of its
target in `src`. Inputs that fuzzing found are added to `corpus` by hand, with a name that tells the case; this program
leaves them alone.
"""

import hashlib
import pathlib
import struct
import zlib

CORPUS = pathlib.Path(__file__).parent / "corpus"

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
FIN, RSV1, RSV2 = 0x80, 0x40, 0x20

# The flags of `frames`.
CLIENT, DEFLATE, TAKEOVER, READS, SHRINKS = 1, 2, 4, 8, 16

# RFC 7692 section 7.2.3: "Hello", the same again as a reference to the first, with a final block, in two blocks, stored.
HELLO = bytes.fromhex("f248cdc9c90700")
HELLO_AGAIN = bytes.fromhex("f200110000")
HELLO_FINAL = bytes.fromhex("f348cdc9c9070000")
HELLO_TWO_BLOCKS = bytes.fromhex("f248050000 00ffffcac9c90700")
HELLO_STORED = bytes.fromhex("000500faff48656c6c6f00")


def deflate(data, window_bits=15, level=9):
    """`data` as the payload of a compressed message."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, -window_bits)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def frame(first, payload=b"", mask=None, length=None, form=None):
    """A frame with `first` as its first byte; `length` and `form` (0, 2 or 8 bytes) where they are to be others."""
    length = len(payload) if length is None else length
    form = (0 if length < 126 else 2 if length < 65536 else 8) if form is None else form
    short = {0: length, 2: 126, 8: 127}[form]
    head = bytes([first, short | (0 if mask is None else 0x80)])
    head += {0: b"", 2: struct.pack(">H", length & 0xFFFF), 8: struct.pack(">Q", length)}[form]
    if mask is not None:
        payload = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return head + (mask or b"") + payload


def frames_of(mask):
    """The cases a peer can make of frames, for either role, as `name: (flags, wire)`."""

    def f(first, payload=b"", **rest):
        return frame(first, payload, mask, **rest)

    text, end = FIN | TEXT, FIN
    close = FIN | CLOSE
    plain = {
        "text": f(text, "Grüße, 世界".encode()),
        "binary": f(FIN | BINARY, bytes(range(256))),
        "empty_messages": f(text) + f(FIN | BINARY) + f(TEXT) + f(0) + f(end),
        "lengths_in_longer_forms_than_needed": f(text, b"abc", form=2) + f(text, b"abc", form=8),
        "largest_message": f(FIN | BINARY, b"x" * 1000),
        "message_over_the_limit": f(FIN | BINARY, b"x" * 1001),
        "fragments_over_the_limit": f(BINARY, b"x" * 600) + f(end, b"x" * 600),
        "length_of_two_to_the_63": f(FIN | BINARY, b"x", length=1 << 63, form=8),
        "length_of_many_gigabytes": f(FIN | BINARY, b"x", length=1 << 40, form=8),
        "fragments_with_a_ping_between": f(TEXT, b"He") + f(FIN | PING, b"ping") + f(end, b"llo"),
        "as_many_fragments_as_allowed": f(TEXT, b"a") + f(0, b"b") * 6 + f(end, b"c"),
        "a_fragment_too_many": f(TEXT, b"a") + f(0, b"b") * 8 + f(end, b"c"),
        "continuations_without_end": f(TEXT) + f(0) * 200,
        "continuation_of_nothing": f(end, b"x"),
        "message_within_a_message": f(TEXT, b"a") + f(text, b"b"),
        "pings_and_pongs": f(FIN | PING) + f(FIN | PING, b"x" * 125) + f(FIN | PONG, b"unasked"),
        "ping_too_large": f(FIN | PING, b"x" * 126),
        "ping_in_fragments": f(PING, b"x") + f(end, b"y"),
        "close_without_a_code": f(close) + f(text, b"after the end"),
        "close_with_code_and_reason": f(close, b"\x03\xe9" + "tschüss".encode()),
        "close_with_half_a_code": f(close, b"\x03"),
        "close_with_a_code_nobody_may_send": f(close, b"\x03\xed"),
        "close_with_code_999": f(close, b"\x03\xe7"),
        "close_with_a_reason_that_is_no_text": f(close, b"\x03\xe8\xff"),
        "close_within_a_message": f(TEXT, b"a") + f(close, b"\x03\xe8"),
        "character_split_over_frames": f(TEXT, b"\xe4\xb8") + f(end, b"\x96"),
        "character_cut_off": f(text, b"\xe4\xb8"),
        "text_that_is_no_text": f(text, b"\xce\xba\xed\xa0\x80"),
        "text_that_is_no_text_early_in_a_message": f(TEXT, b"\xff") + f(0, b"x"),
        "compressed_without_the_extension": f(text | RSV1, HELLO),
        "reserved_bit": f(text | RSV2, b"x"),
        "reserved_opcode": f(FIN | 3, b"x"),
        "reserved_control_opcode": f(FIN | 11, b"x"),
        "header_cut_off": f(text, b"x" * 200)[:3],
        "payload_cut_off": f(text, b"x" * 200)[:50],
        "more_frames_than_a_batch": f(text, b"x") * 1100,
    }
    compressed = {
        "hello": f(text | RSV1, HELLO),
        "hello_in_fragments": f(TEXT | RSV1, HELLO[:3]) + f(FIN | PING, b"p") + f(0) + f(end, HELLO[3:]),
        "hello_twice_by_reference": f(text | RSV1, HELLO) + f(text | RSV1, HELLO_AGAIN),
        "hello_in_other_blocks": b"".join(f(text | RSV1, x) for x in [HELLO_FINAL, HELLO_TWO_BLOCKS, HELLO_STORED]),
        "empty_message": f(text | RSV1, b"\0") + f(FIN | BINARY | RSV1, b"\0"),
        "no_payload": f(text | RSV1),
        "plain_between_compressed": f(text | RSV1, HELLO) + f(text, b"plain") + f(text | RSV1, HELLO_AGAIN),
        "largest_message": f(text | RSV1, deflate(b"x" * 1000)),
        "a_byte_over_the_limit": f(text | RSV1, deflate(b"x" * 1001)),
        "bomb": f(FIN | BINARY | RSV1, deflate(b"\0" * 900_000)),
        "damaged": f(text | RSV1, b"\xff\xff\xff"),
        "text_that_is_no_text": f(text | RSV1, deflate(b"\xff\xfe")),
        "character_cut_off": f(text | RSV1, deflate(b"\xe4\xb8")),
        "flag_on_a_continuation": f(TEXT | RSV1, HELLO[:3]) + f(end | RSV1, HELLO[3:]),
        "flag_on_a_ping": f(FIN | PING | RSV1, b"x"),
        "flag_on_a_reserved_opcode": f(FIN | 3 | RSV1, b"x"),
    }
    # Enough at once for a connection to count as busy, with a frame across the end of each part.
    noise = hashlib.shake_256(b"noise").digest(900)
    busy = (f(FIN | BINARY, noise) + f(TEXT, b"He") + f(FIN | PING, b"p") + f(end, b"llo")) * 10
    busy_compressed = (f(text | RSV1, HELLO) + f(BINARY | RSV1, deflate(noise)[:500]) + f(end, deflate(noise)[500:])) * 10
    unread = {
        "pings_without_reading": f(FIN | PING) * 2000,
        "large_pings_without_reading": f(FIN | PING, b"p" * 125) * 140 + f(FIN | PING, b"n" * 125),
        "pings_without_reading_and_a_close": f(FIN | PING, b"p" * 125) * 80 + f(close, b"\x03\xe8"),
    }
    cases = {name: (READS, wire) for name, wire in plain.items()}
    cases |= {f"compressed_{name}": (READS | DEFLATE | TAKEOVER, wire) for name, wire in compressed.items()}
    cases |= {name: (0, wire) for name, wire in unread.items()}
    cases["busy"] = (READS, busy)
    cases["busy_and_shrinking"] = (READS | SHRINKS, busy)
    cases["compressed_busy_and_shrinking"] = (READS | SHRINKS | DEFLATE | TAKEOVER, busy_compressed)
    wire = f(text | RSV1, HELLO) * 2 + f(text | RSV1, HELLO_AGAIN)
    cases["compressed_reference_without_takeover"] = (READS | DEFLATE, wire)
    return cases


def frames():
    roles = [("client", CLIENT, None, b"\1\2\3\4"), ("server", 0, b"\x37\xfa\x21\x3d", None)]
    for role, flag, mask, wrong_mask in roles:
        for index, (name, (flags, wire)) in enumerate(frames_of(mask).items()):
            sizes = (248, 7) if "busy" in name else [(1, 1), (7, 0), (0, 0), (2, 13), (255, 3)][index % 5]
            yield f"{role}_{name}", bytes([flag | flags, *sizes]) + wire
        yield f"{role}_wrong_masking", bytes([flag | READS, 1, 1]) + frame(FIN | TEXT, b"x", wrong_mask)


# The steps of `roundtrip`.
SAY, SAY_BINARY, SEND_PING, TELL_MANY, TELL_MANY_BINARY, DELIVER, _, SHRINK = range(8)
SERVER, LARGE = 8, 16
# What one end wants: flags, and the windows to send and receive with, less 8.
WANTS, KEEPS_SENT, KEEPS_RECEIVED = 1, 2, 4
FLAT, NOISE, NUMBERS, WORDS = range(4)


def wish(flags=WANTS | KEEPS_SENT | KEEPS_RECEIVED, send=15, receive=15, threshold=0, level=1):
    return bytes([flags | threshold << 3 | (level - 1) << 5, send - 8 | (receive - 8) << 3])


def step(what, size=0, content=WORDS):
    return struct.pack("<BHB", what, size, content)


def roundtrip():
    nothing, all_of_it = bytes(2), wish()
    without = wish(WANTS)
    normal = bytes([0, 0, 0])
    talk = b"".join(
        step(kind | end, size, content)
        for end in (0, SERVER)
        for kind, size, content in [
            (SAY, 0, WORDS), (SAY, 300, WORDS), (SAY, 300, WORDS), (SEND_PING, 10, NOISE), (SAY_BINARY, 5000, NUMBERS),
            (DELIVER, 100, 0), (SAY_BINARY, 2000, NOISE), (TELL_MANY, 1000, NUMBERS), (TELL_MANY_BINARY, 70, FLAT),
        ]
    )
    yield "nothing_is_said", nothing * 2 + normal
    yield "plain", nothing * 2 + normal + talk
    yield "takeover_on_both_sides", all_of_it * 2 + normal + talk * 3
    yield "no_takeover_on_either_side", without * 2 + normal + talk * 3
    yield "only_one_wants_compression", all_of_it + nothing + normal + talk
    yield "takeover_one_way", wish(WANTS | KEEPS_SENT) + wish(WANTS | KEEPS_RECEIVED) + normal + talk * 2
    yield "smallest_windows", wish(send=9, receive=9) * 2 + normal + talk * 2
    yield "a_window_there_is_no_compressor_for", wish(send=8, receive=8) * 2 + normal + talk
    yield "different_windows", wish(send=10, receive=13) + wish(send=12, receive=11) + normal + talk * 2
    yield "threshold_and_best_level", wish(threshold=3, level=8) * 2 + normal + talk
    for name, wants in [("plain", nothing), ("compressed", all_of_it), ("compressed_without_takeover", without)]:
        large = b"".join(step(LARGE | kind, 35_000, kind) for kind in (SAY_BINARY, SAY_BINARY | SERVER))
        pieces = step(DELIVER | LARGE, 40_000) + step(SEND_PING, 5) + step(DELIVER | SERVER, 1)
        yield f"frames_of_a_large_message_{name}", wants * 2 + normal + large + pieces * 2
    yield "noise_larger_than_the_window", wish(send=9, receive=9) * 2 + normal + step(SAY_BINARY, 5000, NOISE) * 3
    busy = (step(SAY_BINARY, 1000, NOISE) * 30 + step(DELIVER, 9000) * 2 + step(SHRINK) + step(SHRINK | SERVER)) * 3
    yield "busy_and_idle_in_turn", all_of_it * 2 + normal + busy
    yield "byte_by_byte", all_of_it * 2 + normal + step(SAY, 20) * 3 + step(DELIVER, 1) * 60
    yield "more_messages_than_a_batch", nothing * 2 + normal + step(SAY, 3) * 1100
    yield "more_pings_than_are_answered", nothing * 2 + normal + step(SEND_PING, 125) * 100 + talk
    yield "server_says_goodbye_with_a_long_reason", all_of_it * 2 + bytes([1, 4, 200]) + talk
    yield "client_says_goodbye_with_code_4999", nothing * 2 + bytes([0, 7, 48]) + talk


def head(*lines):
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1")


REQUEST = {
    "first": "GET /chat?room=1 HTTP/1.1",
    "host": "Host: server.example.com",
    "upgrade": "Upgrade: websocket",
    "connection": "Connection: Upgrade",
    "key": "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "version": "Sec-WebSocket-Version: 13",
}


def request(*more, **changes):
    lines = {name: changes.get(name, line) for name, line in REQUEST.items()}
    return head(*(line for line in lines.values() if line is not None), *more)


def handshake_request():
    extension = "Sec-WebSocket-Extensions: permessage-deflate"
    yield "of_the_rfc", request("Origin: http://example.com", "Sec-WebSocket-Protocol: chat, superchat")
    yield "of_a_browser", request(
        "Pragma: no-cache", "User-Agent: Mozilla/5.0 (X11; Linux x86_64)", "Accept-Encoding: gzip, deflate, br",
        "Cookie: a=b; c=d", f"{extension}; client_max_window_bits", connection="Connection: keep-alive, Upgrade",
    )
    yield "with_the_first_frame", request() + frame(FIN | TEXT, b"hi", b"\1\2\3\4")
    yield "absolute_target", request(first="GET ws://user.example:8080/p?q HTTP/1.1")
    yield "absolute_target_with_user", request(first="GET http://u:p@h/ HTTP/1.1")
    yield "target_without_a_slash", request(first="GET * HTTP/1.1")
    yield "target_of_a_proxy", request(first="CONNECT h:80 HTTP/1.1")
    yield "host_of_ipv6", request(host="Host: [2001:db8::1]:9443")
    yield "host_missing", request(host=None)
    yield "host_twice", request("Host: other")
    yield "host_with_a_path", request(host="Host: a/b")
    yield "method_post", request(first="POST / HTTP/1.1")
    yield "version_of_http_1_0", request(first="GET / HTTP/1.0")
    yield "version_8", request(version="Sec-WebSocket-Version: 8")
    yield "no_upgrade", request(upgrade=None, connection=None)
    yield "upgrade_to_something_else", request(upgrade="Upgrade: h2c, websocket")
    yield "key_too_short", request(key="Sec-WebSocket-Key: AAAA")
    yield "key_twice", request(REQUEST["key"])
    yield "body", request("Content-Length: 5") + b"hello"
    yield "body_in_chunks", request("Transfer-Encoding: chunked") + b"0\r\n\r\n"
    yield "origin_null", request("Origin: null")
    yield "origin_twice", request("Origin: http://a", "Origin: http://b")
    yield "subprotocols_in_several_lines", request("Sec-WebSocket-Protocol: b , a", "Sec-WebSocket-Protocol: ,,c,")
    yield "subprotocol_that_is_no_token", request("Sec-WebSocket-Protocol: a b")
    yield "subprotocol_of_8_kib", request("Sec-WebSocket-Protocol: " + "x" * 8192)
    for name, offer in {
        "all_parameters": "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9; client_max_window_bits=15",
        "quoted": "; server_max_window_bits=\"10\"; client_max_window_bits=\"1\\1\"",
        "window_of_8": "; server_max_window_bits=8; client_max_window_bits=8",
        "windows_that_are_none": "; server_max_window_bits=7, permessage-deflate; client_max_window_bits=016, permessage-deflate",
        "unknown_first": "; x=y, x-webkit-deflate-frame, permessage-deflate; client_max_window_bits",
        "repeated_parameter": "; client_max_window_bits; client_max_window_bits",
        "broken_grammar": "; =, \"permessage-deflate\", ;;, permessage-deflate; a=\"b",
    }.items():
        yield f"offer_{name}", request(extension + offer)
    yield "offers_in_several_lines", request("Sec-WebSocket-Extensions: mux; max-channels=4", extension, extension)
    yield "largest_number_of_headers", request(*["A: b"] * 95)
    yield "a_header_too_many", request(*["A: b"] * 96)
    yield "a_byte_too_many", request("A: " + "x" * (16 * 1024 + 1 - len(request("A: "))))
    yield "line_feeds_alone", request().replace(b"\r\n", b"\n")
    yield "line_feeds_alone_within", request("A: b\n\nGET / HTTP/1.1")
    yield "folded_header", request("A: b\r\n c")
    yield "bytes_that_are_no_ascii", request("X-A: \xfc\xff", "Origin: http://\xe4")
    yield "control_characters", request("X-A: a\0b\x1b[31m")
    yield "spaces_around_a_name", request("X-A : b", " X-B: c")
    yield "end_missing", request()[:-2]
    yield "tls_hello", bytes.fromhex("16030100c8010000c40303") + bytes(40)
    yield "http_2_preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    yield "nothing", b""


ANSWER = {
    "first": "HTTP/1.1 101 Switching Protocols",
    "upgrade": "Upgrade: websocket",
    "connection": "Connection: Upgrade",
    "accept": "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
}
# The flags of `handshake_response`.
OFFERS_DEFLATE, SMALL_WINDOW, OFFERS_SUBPROTOCOLS = 1, 2, 4


def answer(*more, flags=OFFERS_DEFLATE | OFFERS_SUBPROTOCOLS, **changes):
    lines = {name: changes.get(name, line) for name, line in ANSWER.items()}
    return bytes([flags]) + head(*(line for line in lines.values() if line is not None), *more)


def refusal(status, *lines, body=b"", flags=0):
    return bytes([flags]) + head(f"HTTP/1.1 {status}", *lines) + body


def handshake_response():
    extension = "Sec-WebSocket-Extensions: permessage-deflate"
    plain, small = "Content-Type: text/plain", OFFERS_DEFLATE | SMALL_WINDOW
    yield "of_the_rfc", answer("Sec-WebSocket-Protocol: v2")
    yield "with_compression", answer(extension)
    yield "with_all_parameters", answer(
        extension + "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9; client_max_window_bits=10"
    )
    yield "with_what_a_small_window_needs", answer(
        extension + "; server_no_context_takeover; server_max_window_bits=10", flags=small
    )
    yield "small_window_ignored", answer(extension, flags=small)
    yield "window_larger_than_offered", answer(
        extension + "; server_no_context_takeover; server_max_window_bits=15; client_max_window_bits=15", flags=small
    )
    yield "compression_nobody_asked_for", answer(extension, flags=0)
    yield "compression_twice", answer(extension, extension)
    yield "unknown_extension_with_the_secret", answer("Sec-WebSocket-Extensions: hunter2; a=hunter2")
    yield "unknown_parameter_with_the_secret", answer(extension + "; hunter2=\"hunter2\"")
    yield "broken_extension_with_the_secret", answer("Sec-WebSocket-Extensions: a b hunter2")
    yield "subprotocol_nobody_asked_for", answer("Sec-WebSocket-Protocol: v1", flags=0)
    yield "subprotocol_that_is_the_secret", answer("Sec-WebSocket-Protocol: xhunter2x")
    yield "two_subprotocols", answer("Sec-WebSocket-Protocol: v1", "Sec-WebSocket-Protocol: v2")
    yield "wrong_accept", answer(accept="Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
    yield "accept_missing", answer(accept=None)
    yield "accept_twice", answer(ANSWER["accept"])
    yield "upgrade_to_something_else", answer("Upgrade: h2c")
    yield "connection_close", answer(connection="Connection: close")
    yield "upgrade_in_http_1_0", answer(first="HTTP/1.0 101 Switching Protocols")
    yield "redirect_with_the_secret", refusal(
        "302 Found", "Location: https://user:hunter2@other/hunter2?token=hunter2#hunter2", "Content-Length: 0"
    )
    yield "unauthorized_with_the_secret", refusal(
        "401 Unauthorized", "Content-Type: application/json", "Set-Cookie: t=hunter2", "WWW-Authenticate: Bearer hunter2",
        "X-Hunter2: hunter2", body=b'{"token":"Bearer hunter2","parts":["hun","ter2","hunt"],"HUNTER2":"\\u0068unter2"}',
    )
    yield "secret_in_the_status_line", refusal("403 hunter2")
    yield "secret_between_odd_bytes", refusal("400 x", plain, body=b"\xffhunter2\xfehunter2\x00hunter2\xc3")
    yield "body_in_chunks", refusal(
        "429 Too Many Requests", plain, "Transfer-Encoding: chunked", "Retry-After: 30",
        body=b"5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
    )
    yield "secret_split_by_chunks", refusal(
        "400 x", plain, "Transfer-Encoding: chunked", body=b"3\r\nhun\r\n4\r\nter2\r\n0\r\n\r\n"
    )
    yield "chunk_without_end", refusal("400 x", plain, "Transfer-Encoding: chunked", body=b"ffffffffffffffff\r\nab")
    yield "chunk_that_is_none", refusal("400 x", plain, "Transfer-Encoding: chunked", body=b"xyz\r\n\r\n\r\n")
    yield "body_longer_than_its_length", refusal("500 x", plain, "Content-Length: 3", body=b"abcdef")
    yield "body_shorter_than_its_length", refusal("500 x", plain, "Content-Length: 99999999999999999999", body=b"abc")
    yield "body_of_bytes_that_are_no_text", refusal("500 x", plain, body=b"\xff" * 5000)
    yield "body_with_control_characters", refusal("500 x", plain, body=b"a\r\n\x1b[31mb\0c\xe2\x80\xae")
    yield "body_that_is_an_image", refusal("500 x", "Content-Type: image/png", body=b"\x89PNG")
    yield "body_compressed", refusal("500 x", plain, "Content-Encoding: gzip", body=b"\x1f\x8b")
    for name, wait in {"absurd": "99999999999999999999", "date": "Fri, 31 Dec 1999 23:59:59 GMT", "negative": "-1"}.items():
        yield f"retry_after_{name}", refusal("503 x", f"Retry-After: {wait}")
    yield "status_999", refusal("999 x")
    yield "status_without_reason", refusal("404")
    yield "status_of_two_digits", refusal("20 x")
    hint = head("HTTP/1.1 103 Early Hints", "Link: </x>")
    yield "interim_responses", b"\0" + hint * 2 + refusal("403 Forbidden", plain, body=b"no")[1:]
    yield "interim_responses_without_end", b"\0" + hint * 6
    yield "refused_in_http_1_0", b"\0" + head("HTTP/1.0 503 Service Unavailable", plain) + b"down"
    yield "more_headers_than_allowed", refusal("200 OK", *["A: b"] * 101)
    yield "head_too_large", refusal("200 OK", "A: " + "x" * 16400)
    yield "ssh", b"\0SSH-2.0-OpenSSH_9.6\r\n\r\n"
    yield "smtp", b"\x00220 mail.example ESMTP\r\n"
    yield "end_missing", answer()[:-2]
    yield "line_feeds_alone", answer().replace(b"\r\n", b"\n")
    yield "nothing", b"\0"


def payloads(*payloads, takeover=True, cap=1000, window_bits=15, level=1):
    flags = takeover | (window_bits - 9) << 1 | (level - 1) << 4
    return struct.pack("<BH", flags, cap) + b"".join(struct.pack("<H", len(part)) + part for part in payloads)


def deflate_payload():
    words = b"the same words, the same words, the same words, "
    yield "of_the_rfc", payloads(HELLO, HELLO_AGAIN, HELLO_FINAL, HELLO_TWO_BLOCKS, HELLO_STORED, b"\0")
    yield "reference_without_takeover", payloads(HELLO, HELLO_AGAIN, HELLO, takeover=False)
    yield "reference_after_an_error", payloads(HELLO, b"\xff\xff", HELLO_AGAIN, HELLO)
    yield "reference_after_a_final_block", payloads(HELLO_FINAL, HELLO_AGAIN)
    yield "reference_beyond_the_beginning", payloads(bytes.fromhex("020100"))
    yield "final_blocks_alone", payloads(b"\x01", b"\x03\x00", bytes.fromhex("0300030000"), HELLO)
    yield "tail_not_cut_off", payloads(HELLO + b"\0\0\xff\xff")
    yield "more_behind_the_end", payloads(HELLO + b"\x2a", HELLO_FINAL[:-1] + b"\x2a")
    yield "stored_block_cut_off", payloads(bytes.fromhex("000400fbff"), bytes.fromhex("000500faff4865"))
    yield "stored_block_with_a_wrong_complement", payloads(bytes.fromhex("0005000000") + b"Hello\0")
    yield "block_type_3", payloads(b"\x06", b"\x07")
    yield "empty_payload", payloads(b"", HELLO)
    yield "just_as_large_as_allowed", payloads(deflate(b"a" * 1000), deflate(b"a" * 1001))
    yield "nothing_allowed", payloads(b"\0", HELLO, cap=0)
    yield "bomb", payloads(deflate(b"\0" * 3_000_000), cap=65535)
    yield "larger_than_the_buffer_of_a_thread", payloads(deflate(bytes(range(250)) * 160), cap=65535)
    yield "dynamic_codes", payloads(*(deflate(words * 20 + bytes(range(200))) for _ in range(3)), cap=65535)
    yield "dynamic_codes_damaged", payloads(deflate(words * 20 + bytes(range(200)))[:60] + b"\x55" * 9, cap=65535)
    yield "other_strategies", payloads(*(deflate(words * 9, bits, level) for bits in (9, 12) for level in (0, 1, 6)))
    for window_bits, level in [(9, 9), (12, 6), (15, 1)]:
        own = payloads(words, words, b"", bytes(range(256)) * 3, window_bits=window_bits, level=level)
        yield f"messages_of_our_own_with_a_window_of_{window_bits}_bits", own


def main():
    for target in (frames, roundtrip, handshake_request, handshake_response, deflate_payload):
        folder = CORPUS / target.__name__
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in target():
            (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
