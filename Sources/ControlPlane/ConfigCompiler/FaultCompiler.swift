import MeshConfig
import XDSMessages

/// Faults that a `FaultPolicy` makes up.
enum FaultCompiler {
    static let filterName = "envoy.filters.http.fault"
    /// Of our own proxies: what policies in shadow mode would make to fail.
    static let shadowName = "martlet.shadow.fault"

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

    /// What fails at a place that no route's rule names.
    static func filters(_ policies: PolicyIndex, at place: PolicyIndex.Place, isMartlet: Bool) -> [HTTPFilter]
    {
        faults(policies, at: place, isMartlet: isMartlet).map { HTTPFilter($0.name, $0.fault) }
    }

    /// By the name of the filter that it is said to.
    static func faults(
        _ policies: PolicyIndex, at place: PolicyIndex.Place, isMartlet: Bool
    ) -> [(name: String, fault: Fault)] {
        let settings = policies.ruleSettings(FaultSettings.self, at: place).filled(
            from: policies.settings(FaultSettings.self, at: place))
        var faults = fault(settings).map { [(name: filterName, fault: $0)] } ?? []
        if isMartlet, let found = policies.shadowSettings(FaultSettings.self, at: place) {
            let watched = found.rule.filled(from: found.others)
            if watched != settings, let fault = fault(watched) { faults.append((shadowName, fault)) }
        }
        return faults
    }

    /// For routes to say something about; by themselves they do nothing.
    static func filtersForRoutes(_ policies: PolicyIndex, isMartlet: Bool) -> [HTTPFilter] {
        (policies.isInForce(.faultPolicy, .outbound) ? [HTTPFilter(filterName, Fault())] : [])
            + (isMartlet && policies.isInShadow(.faultPolicy, .outbound)
                ? [HTTPFilter(shadowName, Fault())] : [])
    }
}
