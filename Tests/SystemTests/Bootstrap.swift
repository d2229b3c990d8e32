import Foundation

/// A bootstrap with one listener, `main`, on a free port, that routes HTTP to a few clusters. Every part takes more
/// YAML of the API as text.
struct Bootstrap {
    struct Cluster {
        var name = "origin"
        var ports: [UInt16]
        /// More fields of `envoy.config.cluster.v3.Cluster`.
        var settings = ""
    }

    var clusters: [Cluster]
    var routes = "- match: {prefix: /}\n  route: {cluster: origin}"
    /// More fields of the virtual host, the connection manager, the filter chain and the listener.
    var virtualHost = ""
    var manager = ""
    var filterChain = ""
    var listener = ""
    /// HTTP filters before the router.
    var filters = ""
    var listenPort: UInt16 = 0

    init(_ ports: UInt16..., settings: String = "") { clusters = [Cluster(ports: ports, settings: settings)] }

    init(clusters: [Cluster]) { self.clusters = clusters }

    static let typePrefix = "type.googleapis.com/envoy.extensions"

    var yaml: String {
        """
        node: {id: test-node, cluster: test-cluster}
        admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
        static_resources:
          listeners:
          - name: main
            address: {socket_address: {address: 127.0.0.1, port_value: \(listenPort)}}
        \(indented(listener, 4))
            filter_chains:
            - filters:
              - name: envoy.filters.network.http_connection_manager
                typed_config:
                  "@type": \(Self.typePrefix).filters.network.http_connection_manager.v3.HttpConnectionManager
                  stat_prefix: main
        \(indented(manager, 10))
                  http_filters:
        \(indented(filters, 10))
                  - name: envoy.filters.http.router
                    typed_config: {"@type": \(Self.typePrefix).filters.http.router.v3.Router}
                  route_config:
                    name: local
                    virtual_hosts:
                    - name: all
                      domains: ["*"]
        \(indented(virtualHost, 14))
                      routes:
        \(indented(routes, 14))
        \(indented(filterChain, 6))
          clusters:
        \(clusters.map(Self.text).joined(separator: "\n"))
        """
    }

    private static func text(_ cluster: Cluster) -> String {
        let endpoints = cluster.ports.map {
            "        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: \($0)}}}"
        }
        return """
              - name: \(cluster.name)
                type: STATIC
                connect_timeout: 1s
            \(indented(cluster.settings, 4))
                load_assignment:
                  cluster_name: \(cluster.name)
                  endpoints:
                  - lb_endpoints:
            \(endpoints.joined(separator: "\n"))
            """
    }
}

/// Every line of `text` moved right; nothing for nothing.
func indented(_ text: String, _ spaces: Int) -> String {
    let margin = String(repeating: " ", count: spaces)
    return text.split(separator: "\n").map { margin + $0 }.joined(separator: "\n")
}
