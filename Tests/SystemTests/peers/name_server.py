"""A name server on a loopback port, which it writes to a file: name_server.py ZONE.json PORT-FILE.

The zone is read for each question: {NAME: {"A": […], "AAAA": […], "ttl": SECONDS, "rcode": CODE, "silent": true,
"truncated": true}}. What it does not have does not exist. A truncated answer by UDP is whole by TCP.
"""

import json
import os
import socket
import socketserver
import struct
import sys
import threading

ZONE, PORT_FILE = sys.argv[1:]
TYPES = {1: "A", 28: "AAAA"}
FAMILIES = {"A": socket.AF_INET, "AAAA": socket.AF_INET6}


def answer(question, by_tcp):
    end, labels = 12, []
    while question[end]:
        labels.append(question[end + 1 : end + 1 + question[end]].decode().lower())
        end += 1 + question[end]
    kind = TYPES.get(struct.unpack_from(">H", question, end + 1)[0])
    end += 5
    with open(ZONE) as file:
        entry = json.load(file).get(".".join(labels))
    if entry and entry.get("silent"):
        return None
    code = 3 if entry is None else entry.get("rcode", 0)
    addresses = entry.get(kind, []) if entry and code == 0 else []
    flags = 0x8180 | code
    if entry and entry.get("truncated") and not by_tcp:
        flags, addresses = flags | 0x0200, []
    records = b""
    for address in addresses:
        data = socket.inet_pton(FAMILIES[kind], address)
        ttl = entry.get("ttl", 60)
        records += b"\xc0\x0c" + struct.pack(">HHIH", 1 if kind == "A" else 28, 1, ttl, len(data)) + data
    head = question[:2] + struct.pack(">HHHHH", flags, 1, len(addresses), 0, 0)
    return head + question[12:end] + records


class Datagram(socketserver.BaseRequestHandler):
    def handle(self):
        text = answer(self.request[0], by_tcp=False)
        if text:
            self.request[1].sendto(text, self.client_address)


class Stream(socketserver.StreamRequestHandler):
    def handle(self):
        while len(size := self.rfile.read(2)) == 2:
            text = answer(self.rfile.read(struct.unpack(">H", size)[0]), by_tcp=True)
            if text:
                self.wfile.write(struct.pack(">H", len(text)) + text)


socketserver.TCPServer.allow_reuse_address = True


def both():
    """Both servers on one port, which is free for one kind and may be taken for the other."""
    while True:
        udp = socketserver.ThreadingUDPServer(("127.0.0.1", 0), Datagram)
        try:
            return udp, socketserver.ThreadingTCPServer(udp.server_address, Stream)
        except OSError:
            udp.server_close()


udp, tcp = both()
port = udp.server_address[1]
udp.daemon_threads = tcp.daemon_threads = True
threading.Thread(target=tcp.serve_forever, daemon=True).start()
with open(PORT_FILE + ".new", "w") as file:
    file.write(str(port))
os.rename(PORT_FILE + ".new", PORT_FILE)
udp.serve_forever()
