/// Statistics of tunnels by their `stat_prefix`, `tcp.PREFIX.`.
public enum TCPCounter: UInt16, Sendable, BitwiseCopyable, CaseIterable {
    case downstreamCxTotal
    case downstreamCxNoRoute
    case downstreamCxRxBytesTotal
    case downstreamCxTxBytesTotal
    case idleTimeout
    case maxDownstreamConnectionDuration

    /// Envoy's name, behind that of the scope.
    public var name: StaticString {
        switch self {
        case .downstreamCxTotal: "downstream_cx_total"
        case .downstreamCxNoRoute: "downstream_cx_no_route"
        case .downstreamCxRxBytesTotal: "downstream_cx_rx_bytes_total"
        case .downstreamCxTxBytesTotal: "downstream_cx_tx_bytes_total"
        case .idleTimeout: "idle_timeout"
        case .maxDownstreamConnectionDuration: "max_downstream_connection_duration"
        }
    }
}
