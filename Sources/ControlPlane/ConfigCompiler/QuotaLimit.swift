import MeshConfig
import XDSMessages

/// One limit that all sidecars of a service share. Both who compiles the sidecars' configuration and who hands out the
/// shares know it by the same names.
public struct QuotaLimit: Sendable, Hashable {
    /// Keys of a bucket's id. What else is there are the values of an open key: one bucket for each.
    public static let scopeKey = "scope"
    public static let limitKey = "limit"

    /// `service`; a port that says something of its own has its own.
    public let scope: String
    /// What its requests have in common; `all` for those that no key fits.
    public let name: String
    public let perSecond: Double

    /// The domain in which the buckets of a service are.
    public static func domain(_ service: ServiceID) -> String { service.description }

    /// All that hold for a service.
    public static func limits(
        of id: ServiceID, in specification: MeshSpecification, _ policies: PolicyIndex
    ) -> [QuotaLimit] {
        guard let service = specification.services[id] else { return [] }
        var places = [PolicyIndex.Place(service: id, direction: .inbound)]
        places += service.ports.map {
            PolicyIndex.Place(service: id, portName: $0.name, direction: .inbound)
        }
        var limits: Set<QuotaLimit> = []
        for place in places {
            let settings = policies.settings(RateLimitSettings.self, at: place)
            limits.formUnion(Self.limits(settings, scope: scope(of: place, policies)))
            guard let watched = policies.shadowSettings(RateLimitSettings.self, at: place)?.others else {
                continue
            }
            limits.formUnion(Self.limits(watched, scope: scope(of: place, policies, isShadow: true)))
        }
        return limits.sorted { ($0.scope, $0.name) < ($1.scope, $1.name) }
    }

    private static func limits(_ settings: RateLimitSettings, scope: String) -> [QuotaLimit] {
        var limits = (settings.globalKeys ?? []).map {
            QuotaLimit(scope: scope, name: $0.key.name, perSecond: $0.rate.perSecond)
        }
        if let rate = settings.globalRate {
            limits.append(QuotaLimit(scope: scope, name: "all", perSecond: rate.perSecond))
        }
        return limits
    }

    /// A port shares the service's limit unless a policy names it.
    static func scope(
        of place: PolicyIndex.Place, _ policies: PolicyIndex, isShadow: Bool = false
    ) -> String {
        var whole = place
        whole.portName = nil
        func global(_ place: PolicyIndex.Place) -> RateLimitSettings {
            let settings =
                isShadow
                ? policies.shadowSettings(RateLimitSettings.self, at: place)?.others ?? RateLimitSettings()
                : policies.settings(RateLimitSettings.self, at: place)
            var result = RateLimitSettings()
            (result.globalRate, result.globalKeys) = (settings.globalRate, settings.globalKeys)
            return result
        }
        let isOwn = place.portName != nil && global(place) != global(whole)
        let scope = isOwn ? "port/\(place.portName ?? "")" : "service"
        return isShadow ? "shadow/\(scope)" : scope
    }
}

extension Envoy_Type_V3_RateLimitStrategy {
    /// A tenth of a second's worth may come at once, at least one request. Whole tokens in whole seconds, since Envoy leaves
    /// the rest of an interval out; from 0.3 a second upwards that takes away a thousandth at most.
    public init(perSecond: Double) {
        self.init()
        guard perSecond > 1e-6 else {
            blanketRule = .denyAll
            return
        }
        let seconds = min(max(1, (1000 / perSecond).rounded(.up)), max(3600, (1 / perSecond).rounded(.up)))
        // What is whole but for the last bit stays whole.
        let tokens = min(max(1, (perSecond * seconds + 1e-6).rounded(.down)), Double(UInt32.max))
        tokenBucket.maxTokens = UInt32(min(max(1, (perSecond / 10).rounded()), Double(UInt32.max)))
        tokenBucket.tokensPerFill = .init(UInt32(tokens))
        tokenBucket.fillInterval.seconds = Int64(seconds)
    }
}
