"""The types of resources that go over a discovery stream, by the names that Martlet has for them."""

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2

TYPES = {
    "clusters": cluster_pb2.Cluster,
    "endpoints": endpoint_pb2.ClusterLoadAssignment,
    "listeners": listener_pb2.Listener,
    "routes": route_pb2.RouteConfiguration,
    "secrets": secret_pb2.Secret,
}
URLS = {name: "type.googleapis.com/" + kind.DESCRIPTOR.full_name for name, kind in TYPES.items()}
NAMES = {url: name for name, url in URLS.items()}
