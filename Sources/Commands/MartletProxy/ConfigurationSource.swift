import MeshModel
import MeshPrimitives
import Proxy
import XDSClient
import XDSDiscovery
import XDSSchema

/// Makes the source once there is a loop to run it on.
typealias SourceMaker = (ControlLoop, NameResolver, ProxyServer) throws(StartFailure) -> ConfigurationSource

/// Where the configuration comes from: a bootstrap with or without discovery, or the mesh.
struct ConfigurationSource {
    /// Of the process's own servers; nil: there is none. Bound ones in the place of wanted ones once they are known.
    struct Addresses {
        var admin: SocketAddress?
        var health: SocketAddress?
        var metrics: SocketAddress?
    }

    var addresses = Addresses()
    /// Somebody may send a better configuration later.
    var isDynamic = false
    /// What the start waits for has come.
    var isReady: () -> Bool = { true }
    /// Once; then every configuration, in the turn in which it became so.
    var start: (_ changed: @escaping (Configuration) -> Void) -> Void = { _ in }
    var stop: () -> Void = {}
    /// The start is over: what is seldom wanted from now on may take less room.
    var settle: () -> Void = {}
    /// The last configuration is in force, all of it.
    var takenUp: () -> Void = {}
    /// The configuration cannot be taken up because of this resource. False if the source has nothing better.
    var refuse: (_ kind: ResourceKind, _ name: String, _ reason: String) -> Bool = { _, _, _ in false }
    /// What to write when all addresses are bound.
    var portsFile: (Addresses) -> (path: String, text: String)? = { _ in nil }

    // For the admin pages and the log.
    /// In words: what is waited for.
    var state: () -> String = { "" }
    var bootstrap: () -> ConfigMessage? = { nil }
    var node: () -> ConfigMessage? = { nil }
    var resources: () -> [HeldResource] = { [] }
    var statistics: () -> DiscoveryStatistics? = { nil }
    /// Where the control plane's services are, in a mesh.
    var controlTarget: (() -> Result<ClientTarget, TargetProblem>)?

    init() {}

    /// From `-c` and `--config-yaml`.
    init(_ file: FileBootstrap, loop: ControlLoop, resolver: NameResolver, log: ProcessLog)
        throws(StartFailure)
    {
        let client: DiscoveryClient
        do throws(TargetProblem) {
            client = try DiscoveryClient(
                loop: loop, resolver: resolver, bootstrap: file.bootstrap, surroundings: file.surroundings,
                log: log.sink)
        } catch {
            throw StartFailure(status: 2, lines: ["dynamic_resources.ads_config: \(error)"])
        }
        addresses.admin = file.bootstrap.admin
        isDynamic = file.bootstrap.ads != nil
        isReady = { client.isReady }
        start = { changed in
            client.configurationChanged = changed
            client.start()
        }
        stop = { client.stop() }
        takenUp = { client.takenUp() }
        refuse = { client.refuse($0, $1, reason: $2) }
        let texts = file.texts
        settle = { texts.compact() }
        bootstrap = {
            var problems = ConfigProblems()
            return texts.message(&problems)
        }
        let node = file.bootstrap.node
        self.node = { node.fields.isEmpty ? nil : node }
        resources = { client.held }
        state = { client.state }
        if isDynamic { statistics = { client.statistics } }
    }
}

extension ProcessLog {
    /// For what discovery has to say.
    var sink: LogSink {
        { [self] importance, text in
            switch importance {
            case .debug: note(.debug, "discovery", detail: text)
            case .info: note(.info, "discovery", detail: text)
            case .warning: note(.warning, "discovery", detail: text)
            case .error: note(.error, "discovery", detail: text)
            }
        }
    }
}
