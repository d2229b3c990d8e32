"""Each proxy's own way to say what a `Hop` asks for, and how it is started. A peer does the same work as Martlet, as
well as it can be told to: a request id and a traceparent where none came, a retry policy, limits, a rate limit that
does not bite, connections to the origin kept and shared, no log."""

import glob
import os
import re
import shutil
import subprocess

import envoyapi
from hops import ROOT, SERVER_NAME, Hop, host_of
from processes import Failure


class NotYet(Exception):
    """Martlet refuses this configuration: the scenario stands on something that it cannot do."""


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


class Martlet:
    name = "Martlet"

    def __init__(self, binaries):
        self.binary = os.path.join(binaries, "martlet-proxy")

    def can(self, hop):
        return True

    def is_here(self):
        return os.path.exists(self.binary)

    def version(self):
        return output_of([self.binary, "--version"]).replace("martlet-proxy", "").strip().splitlines()[0]

    def command(self, hop, folder, base, single=False):
        config = write(base + ".json", envoyapi.bootstrap(hop, folder, is_martlet=True))
        return [self.binary, "-c", config, "--concurrency", str(hop.workers), "--admin-address-path", base + ".admin"]

    def refusal(self, hop, folder, base):
        """Why it does not take the configuration, or None."""
        command = self.command(hop, folder, base)
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=1, check=False)
        except subprocess.TimeoutExpired:
            return None
        return done.stdout.decode(errors="replace").strip().splitlines()[-1] if done.returncode == 2 else None


class Envoy:
    name = "Envoy"

    def __init__(self):
        # Not what pip puts on the path: that is a script which starts this.
        installed = glob.glob(os.path.join(ROOT, ".build", "peers", "envoy", "lib", "*", "site-packages", "envoy", "_bin", "envoy"))
        self.binary = next(iter([*installed, shutil.which("envoy")]))

    def can(self, hop):
        return True

    def is_here(self):
        return self.binary is not None

    def version(self):
        found = re.search(r"version: \w+/([0-9.]+)", output_of([self.binary, "--version"]))
        return found[1] if found else "?"

    def command(self, hop, folder, base, single=False):
        config = write(base + ".json", envoyapi.bootstrap(hop, folder, is_martlet=False))
        return [self.binary, "-c", config, "--concurrency", str(hop.workers), "--disable-hot-restart", "-l", "error",
                "--admin-address-path", base + ".admin"]


class HAProxy:
    name = "haproxy"

    def can(self, hop):
        return True

    def is_here(self):
        return shutil.which("haproxy") is not None

    def version(self):
        return output_of(["haproxy", "-v"]).split()[2].split("-")[0]

    def command(self, hop, folder, base, single=False):
        bind = f"bind 127.0.0.1:{hop.listen}"
        if hop.accepts_tls:
            bind += (f" ssl crt {folder}/callee.both.pem ca-file {folder}/root.pem verify required ssl-min-ver TLSv1.3"
                     f" alpn {'h2' if hop.inside == 'h2' else 'http/1.1'}")
        elif hop.inside == "h2":
            bind += " proto h2"
        text = [
            "global", f"  nbthread {hop.workers}", "  maxconn 4500", "  tune.h2.max-concurrent-streams 200",
            "defaults", f"  mode {'tcp' if hop.inside == 'tcp' else 'http'}", "  maxconn 4400", "  no log",
            "  timeout connect 30s", "  timeout client 300s", "  timeout server 300s", "  timeout http-request 15s",
            "  timeout queue 15s", "  retries 2"]
        if hop.inside == "tcp":
            text += ["  option splice-auto"]
        else:
            text += ["  retry-on conn-failure empty-response 0rtt-rejected", "  option redispatch", "  http-reuse always",
                     "  option http-keep-alive"]
        text += ["frontend main", "  " + bind]
        if hop.inside != "tcp":
            text += [
                "  stick-table type ip size 100k expire 10s store http_req_rate(1s)",
                "  http-request track-sc0 src",
                "  http-request deny deny_status 429 if { sc_http_req_rate(0) gt 10000000 }",
                "  http-request set-header x-request-id %[uuid()] unless { req.hdr(x-request-id) -m found }",
                "  http-request set-header traceparent 00-%[rand(4294967295),hex]%[rand(4294967295),hex]-"
                "%[rand(4294967295),hex]-00 unless { req.hdr(traceparent) -m found }"]
        if hop.clusters > 1:
            write(base + ".map", "".join(f"{host_of(index)} cluster-{index}\n" for index in range(1, hop.clusters)))
            text += [f"  use_backend %[req.hdr(host),lower,map_str({base}.map,origin)]"]
        text += ["  default_backend origin"]
        for index in range(hop.clusters):
            text += [f"backend {'origin' if index == 0 else f'cluster-{index}'}", "  " + self.server(hop, folder)]
        return ["haproxy", "-db", "-q", "-f", write(base + ".cfg", "\n".join(text) + "\n")]

    @staticmethod
    def server(hop, folder):
        line = f"server one 127.0.0.1:{hop.target} maxconn 1024"
        if hop.speaks_tls:
            line += (f" ssl crt {folder}/caller.both.pem ca-file {folder}/root.pem verify required ssl-min-ver TLSv1.3"
                     f" sni str({SERVER_NAME}) alpn {'h2' if hop.outside == 'h2' else 'http/1.1'}")
        elif hop.outside == "h2":
            line += " proto h2"
        return line


class Nginx:
    name = "nginx"

    def can(self, hop):
        # It speaks HTTP/2 to upstreams for gRPC only, and so not between sidecars.
        return hop.outside != "h2" or (hop.inside == "h2" and not hop.speaks_tls)

    def is_here(self):
        return shutil.which("nginx") is not None

    def version(self):
        return output_of(["nginx", "-v"]).split("/")[-1].strip()

    def command(self, hop, folder, base, single=False):
        os.makedirs(base, exist_ok=True)
        top = [
            f"pid {base}/nginx.pid;", "error_log stderr crit;", "daemon off;", "user root;"]
        top += ["master_process off;"] if single else [f"worker_processes {hop.workers};"]
        if hop.inside == "tcp":
            module = "/usr/lib/nginx/modules/ngx_stream_module.so"
            top = ([f"load_module {module};"] if os.path.exists(module) else []) + top
        top += ["events { worker_connections 16000; multi_accept on; accept_mutex off; }"]
        body = self.stream(hop) if hop.inside == "tcp" else self.http(hop, folder, base)
        return ["nginx", "-p", base, "-c", write(base + ".conf", "\n".join(top + body) + "\n")]

    @staticmethod
    def stream(hop):
        return [
            "stream {", "  access_log off;", f"  upstream origin {{ server 127.0.0.1:{hop.target} max_conns=1024; }}",
            f"  server {{ listen 127.0.0.1:{hop.listen} backlog=4096; proxy_pass origin; proxy_buffer_size 64k;",
            "    tcp_nodelay on; proxy_timeout 300s; }", "}"]

    def http(self, hop, folder, base):
        text = [
            "http {", "  access_log off;", "  keepalive_requests 1000000000;", "  keepalive_timeout 300s;",
            "  client_max_body_size 0;", "  server_names_hash_max_size 65536;", "  server_names_hash_bucket_size 64;",
            "  tcp_nodelay on;"]
        text += [f"  {kind}_temp_path {base}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")]
        text += [
            '  map $http_x_request_id $the_id { "" $request_id; default $http_x_request_id; }',
            '  map $request_id $span { "~^(?<start>.{16})" $start; }',
            '  map $http_traceparent $the_trace { "" "00-$request_id-$span-00"; default $http_traceparent; }',
            "  limit_req_zone $server_name zone=rate:1m rate=1000000r/s;",
            "  limit_conn_zone $server_name zone=count:1m;"]
        for index in range(hop.clusters):
            text += [f"  upstream {'origin' if index == 0 else f'cluster-{index}'} {{",
                     f"    server 127.0.0.1:{hop.target} max_conns=1024 max_fails=5;",
                     "    keepalive 256; keepalive_requests 1000000000; keepalive_timeout 300s;", "  }"]
        for index in range(hop.clusters):
            text += self.server(hop, folder, index)
        return text + ["}"]

    @staticmethod
    def server(hop, folder, index):
        listen = f"listen 127.0.0.1:{hop.listen}" + (" default_server backlog=4096" if index == 0 else "")
        listen += (" ssl" if hop.accepts_tls else "") + (" http2" if hop.inside == "h2" else "")
        text = ["  server {", f"    {listen};", f"    server_name {'_' if index == 0 else host_of(index)};"]
        if hop.accepts_tls:
            text += [
                f"    ssl_certificate {folder}/callee.pem; ssl_certificate_key {folder}/callee.key;",
                f"    ssl_client_certificate {folder}/root.pem; ssl_verify_client on; ssl_protocols TLSv1.3;",
                "    ssl_session_tickets on; ssl_session_timeout 1h;"]
        if hop.inside == "h2":
            text += ["    http2_max_concurrent_streams 200;"]
        kind, scheme = ("grpc", "grpcs" if hop.speaks_tls else "grpc") if hop.outside == "h2" else (
            "proxy", "https" if hop.speaks_tls else "http")
        name = "origin" if index == 0 else f"cluster-{index}"
        text += [
            "    location / {", "      limit_req zone=rate burst=1000000 nodelay; limit_conn count 10000;",
            f"      {kind}_pass {scheme}://{name};",
            f"      {kind}_set_header X-Request-Id $the_id; {kind}_set_header traceparent $the_trace;",
            f"      {kind}_next_upstream error timeout; {kind}_next_upstream_tries 3;",
            f"      {kind}_connect_timeout 30s; {kind}_read_timeout 15s;"]
        if kind == "proxy":
            text += ["      proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host;",
                     "      proxy_max_temp_file_size 0; proxy_request_buffering off;"]
        if hop.speaks_tls:
            text += [
                f"      {kind}_ssl_certificate {folder}/caller.pem; {kind}_ssl_certificate_key {folder}/caller.key;",
                f"      {kind}_ssl_trusted_certificate {folder}/root.pem; {kind}_ssl_verify on;",
                f"      {kind}_ssl_name {SERVER_NAME}; {kind}_ssl_server_name on; {kind}_ssl_protocols TLSv1.3;"]
        return text + ["    }", "  }"]


class Floor:
    """The bare forwarder in C: no peer, but what the kernel takes."""
    name = "floor"

    def __init__(self, tools, mode=None):
        self.tools, self.mode = tools, mode

    def can(self, hop):
        return hop.inside == hop.outside and hop.inside != "h2" and not hop.accepts_tls and not hop.speaks_tls \
            and hop.workers == hop.clusters == 1

    def is_here(self):
        return True

    def version(self):
        return "C"

    def command(self, hop, folder, base, single=False):
        mode = "http" if hop.inside == "h1" else "splice" if self.mode == "splice" else "tcp"
        return [os.path.join(self.tools, "floor"), str(hop.listen), str(hop.target), mode]


class SplicingFloor(Floor):
    name = "floor, splice"

    def __init__(self, tools):
        super().__init__(tools, "splice")

    def can(self, hop):
        return hop.inside == "tcp" and super().can(hop)


def output_of(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20, check=False)
    return done.stdout.decode(errors="replace")


def build_tools(folder):
    """The C programs: floor, and the client that makes handshakes."""
    os.makedirs(folder, exist_ok=True)
    sources = os.path.join(ROOT, "Benchmarks", "Floor")
    for name, libraries in (("floor", []), ("handshakes", ["-lssl", "-lcrypto", "-lpthread"])):
        source, made = os.path.join(sources, name + ".c"), os.path.join(folder, name)
        if os.path.exists(made) and os.path.getmtime(made) > os.path.getmtime(source):
            continue
        done = subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", made, source, *libraries], check=False)
        if done.returncode != 0:
            raise Failure(f"{source} does not compile")
