import MeshConfig
import XDSMessages

/// Faults that a `FaultPolicy` makes up.
enum FaultCompiler {
    static let filterName = "envoy.filters.http.fault"

    typealias Fault = Envoy_Extensions_Filters_Http_Fault_V3_HTTPFault

    /// nil if nothing fails.
    static func fault(_ settings: FaultSettings) -> Fault? {
        guard settings.delay != nil || settings.abort != nil else { return nil }
        return .with {
            if let delay = settings.delay {
                $0.delay.fixedDelay = .init(delay.duration)
                $0.delay.percentage = .init(percent: delay.percent)
            }
            if let abort = settings.abort {
                switch abort.answer {
                case .http(let status): $0.abort.httpStatus = UInt32(clamping: status)
                case .grpc(let status): $0.abort.grpcStatus = UInt32(clamping: status)
                }
                $0.abort.percentage = .init(percent: abort.percent)
            }
            $0.headers = (settings.headers ?? []).map { header in
                .with {
                    $0.name = header.name
                    $0.stringMatch = RouteCompiler.stringMatch(header)
                }
            }
        }
    }

    /// For routes to say something about; by itself it does nothing.
    static let filterForRoutes = HTTPFilter(filterName, Fault())
}
