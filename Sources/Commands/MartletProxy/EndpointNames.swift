import MeshModel
import MeshPrimitives
import XDSClient

/// Puts addresses in the place of endpoints' names (clusters of type STRICT_DNS and LOGICAL_DNS), and looks the names
/// up again every few seconds. A name that can no longer be resolved keeps the addresses that it had.
final class EndpointNames {
    private struct Name: Hashable {
        var host: String
        var port: UInt16
    }

    /// Envoy's `dns_refresh_rate`, unless set.
    static let refreshInterval = Duration.seconds(5)

    private let loop: ControlLoop
    private let resolver: NameResolver
    private var known: [Name: [SocketAddress]] = [:]
    /// Those that have never been answered for.
    private var unanswered: Set<Name> = []
    private var wanted: [Name] = []
    private var timer: ControlLoop.Timer?
    /// Addresses are other ones than before, or names have their first answer.
    var changed: (() -> Void)?

    init(loop: ControlLoop, resolver: NameResolver) { (self.loop, self.resolver) = (loop, resolver) }

    /// Every name has had an answer, if only that there is none.
    var isComplete: Bool { unanswered.isEmpty }

    /// The configuration with the addresses that are known now; what it names is looked up from now on.
    func resolved(_ configuration: Configuration) -> Configuration {
        var configuration = configuration
        var names: [Name] = []
        for index in configuration.clusters.indices {
            let isLogical = configuration.clusters[index].discovery == .logicalDNS
            for place in configuration.clusters[index].localities.indices {
                configuration.clusters[index].localities[place].endpoints =
                    configuration.clusters[index].localities[place].endpoints.flatMap {
                        endpoint -> [Endpoint] in
                        guard case .name(let host, let port) = endpoint.address else { return [endpoint] }
                        let name = Name(host: host, port: port)
                        names.append(name)
                        // Of a logical name one address at a time is used.
                        let addresses = (known[name] ?? []).prefix(isLogical ? 1 : .max)
                        return addresses.map { address in
                            var copy = endpoint
                            copy.address = .numeric(address)
                            if copy.hostname.isEmpty { copy.hostname = host }
                            return copy
                        }
                    }
            }
        }
        watch(names)
        return configuration
    }

    private func watch(_ names: [Name]) {
        let before = Set(wanted)
        wanted = names
        unanswered.formIntersection(names)
        let gone = before.subtracting(names)
        for name in gone { known[name] = nil }
        var seen = before
        for name in names where seen.insert(name).inserted {
            unanswered.insert(name)
            lookUp(name)
        }
        if names.isEmpty {
            if let timer { loop.cancel(timer) }
            timer = nil
        } else if timer == nil {
            arm()
        }
    }

    private func arm() {
        timer = loop.after(Self.refreshInterval) { [weak self] in
            guard let self else { return }
            for name in Set(self.wanted) where !self.unanswered.contains(name) { self.lookUp(name) }
            self.arm()
        }
    }

    private func lookUp(_ name: Name) {
        resolver.resolve(name.host, port: name.port) { [weak self] answer in
            guard let self, self.wanted.contains(name) else { return }
            let wasUnanswered = self.unanswered.remove(name) != nil
            var isOther = false
            if case .success(let addresses) = answer, self.known[name].map(Set.init) != Set(addresses) {
                self.known[name] = addresses
                isOther = true
            }
            if isOther || wasUnanswered { self.changed?() }
        }
    }
}
