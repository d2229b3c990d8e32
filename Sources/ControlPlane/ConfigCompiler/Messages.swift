import MeshConfig
import XDSMessages

// Short ways to say what the compiled messages say often.

typealias Cluster = Envoy_Config_Cluster_V3_Cluster
typealias Listener = Envoy_Config_Listener_V3_Listener
typealias RouteConfiguration = Envoy_Config_Route_V3_RouteConfiguration
typealias VirtualHost = Envoy_Config_Route_V3_VirtualHost
typealias Route = Envoy_Config_Route_V3_Route
typealias LoadAssignment = Envoy_Config_Endpoint_V3_ClusterLoadAssignment
typealias ConnectionManager =
    Envoy_Extensions_Filters_Network_HttpConnectionManager_V3_HttpConnectionManager
typealias HTTPFilter = Envoy_Extensions_Filters_Network_HttpConnectionManager_V3_HttpFilter
typealias TCPProxy = Envoy_Extensions_Filters_Network_TcpProxy_V3_TcpProxy
typealias TransportSocket = Envoy_Config_Core_V3_TransportSocket
typealias HTTPOptions = Envoy_Extensions_Upstreams_Http_V3_HttpProtocolOptions
typealias LogFilter = Envoy_Config_Accesslog_V3_AccessLogFilter
typealias HTTP1Options = Envoy_Config_Core_V3_Http1ProtocolOptions

extension Google_Protobuf_Duration {
    init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        self.init(seconds: seconds, nanos: Int32(attoseconds / 1_000_000_000))
    }
}

extension Google_Protobuf_UInt32Value {
    init(clamping value: Int) { self.init(UInt32(clamping: value)) }
}

extension Envoy_Config_Core_V3_Address {
    init(_ address: HostPort) {
        self = .with {
            $0.socketAddress.address = address.host
            $0.socketAddress.portValue = UInt32(address.port)
        }
    }
}

extension Envoy_Config_Core_V3_ConfigSource {
    /// Over the stream on which the resource itself came.
    static let aggregated = Self.with {
        $0.ads = .init()
        $0.resourceApiVersion = .v3
    }
}

extension Envoy_Type_V3_FractionalPercent {
    /// In millionths, so that a share of a hundredth of a percent is not lost.
    init(percent: Double) {
        self = .with {
            $0.numerator = UInt32((percent * 10_000).rounded())
            $0.denominator = .million
        }
    }
}

extension Envoy_Config_Core_V3_RuntimeFractionalPercent {
    static let always = Self.with {
        $0.defaultValue.numerator = 100
        $0.defaultValue.denominator = .hundred
    }
}

extension TransportSocket {
    init(_ name: String, _ message: some Message) {
        self = .with {
            $0.name = name
            $0.typedConfig = Wire.packed(message)
        }
    }

    static let plain = TransportSocket(
        "envoy.transport_sockets.raw_buffer", Envoy_Extensions_TransportSockets_RawBuffer_V3_RawBuffer())

    static let plainRefusedInShadow = TransportSocket(
        "martlet.transport_sockets.plain_text", Martlet_V1_PlainText.with { $0.refusedInShadow = true })
}

extension HTTPFilter {
    init(_ name: String, _ message: some Message) {
        self = .with {
            $0.name = name
            $0.typedConfig = Wire.packed(message)
        }
    }

    static let router = HTTPFilter(
        "envoy.filters.http.router", Envoy_Extensions_Filters_Http_Router_V3_Router())
}

extension HTTP1Options {
    /// What the mesh does with HTTP/1: nothing that an application sent is lost on the way.
    static func mesh(isDownstream: Bool) -> HTTP1Options {
        .with {
            $0.acceptHTTP10 = isDownstream
            $0.enableTrailers = true
            $0.headerKeyFormat.statefulFormatter.name = "envoy.http.stateful_header_formatters.preserve_case"
            $0.headerKeyFormat.statefulFormatter.typedConfig = Wire.packed(
                Envoy_Extensions_Http_HeaderFormatters_PreserveCase_V3_PreserveCaseFormatterConfig())
        }
    }
}
