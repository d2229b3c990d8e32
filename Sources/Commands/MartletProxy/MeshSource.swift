import MeshPrimitives
import Proxy
import Reactor
import XDSClient
import XDSDiscovery
import XDSSchema

/// The sockets of a sidecar, bound before the control plane hears of them.
struct MeshSockets {
    let bootstrap: MeshBootstrap
    let addresses: MeshAddresses

    /// Takes every address. Where the application has several ports, the first gets `inbound`'s port and the others
    /// free ones: each is registered with its own.
    init(_ bootstrap: MeshBootstrap, server: ProxyServer, kernel: Kernel) throws(StartFailure) {
        guard
            let advertised = bootstrap.address ?? MeshClient.sourceAddress(towards: bootstrap, kernel: kernel)
        else {
            throw .running("no route to \(bootstrap.control.joined(separator: ", ")): set 'address'")
        }
        var addresses = MeshAddresses(advertised: advertised)
        for (index, app) in bootstrap.apps.enumerated() {
            var wanted = bootstrap.inbound
            if index > 0 { wanted.port = 0 }
            let listen = try Self.reserve(wanted, "inbound", server)
            addresses.apps.append(MeshAddresses.App(app: app, listen: listen))
        }
        addresses.outbound = try Self.reserve(bootstrap.outbound, "outbound", server)
        for upstream in bootstrap.upstreams {
            var bound = upstream
            bound.listen = try Self.reserve(upstream.listen, "upstreams: \(upstream.service)", server)
            addresses.upstreams.append(bound)
        }
        (self.bootstrap, self.addresses) = (bootstrap, addresses)
    }

    private static func reserve(
        _ address: SocketAddress, _ name: String, _ server: ProxyServer
    ) throws(StartFailure) -> SocketAddress {
        do throws(SystemErrno) {
            return try server.reserve(address)
        } catch .addressInUse {
            throw .running("\(name): \(address): address in use")
        } catch {
            throw .running("\(name): cannot listen on \(address): \(error)")
        }
    }

    /// What `ports-file` gets: every bound address by its key.
    func portsText(_ own: ConfigurationSource.Addresses) -> String {
        var members: [String] = []
        func add(_ key: String, _ address: SocketAddress?) {
            if let address { members.append("\"\(key)\": \"\(address)\"") }
        }
        add("admin", own.admin)
        if !addresses.apps.isEmpty {
            let apps = addresses.apps.map { "\"\($0.app.port)\": \"\($0.listen)\"" }
            members.append("\"inbound\": {\(apps.joined(separator: ", "))}")
        }
        add("outbound", addresses.outbound)
        add("health", own.health)
        add("metrics", own.metrics)
        if !addresses.upstreams.isEmpty {
            let upstreams = addresses.upstreams.map { "\"\($0.service):\($0.port)\": \"\($0.listen)\"" }
            members.append("\"upstreams\": {\(upstreams.joined(separator: ", "))}")
        }
        return "{\n  \(members.joined(separator: ",\n  "))\n}\n"
    }
}

extension ConfigurationSource {
    /// From `--mesh`.
    init(
        _ mesh: MeshBootstrap, loop: ControlLoop, resolver: NameResolver, server: ProxyServer, log: ProcessLog
    ) throws(StartFailure) {
        let sockets = try MeshSockets(mesh, server: server, kernel: loop.kernel)
        let client: MeshClient
        do throws(FileError) {
            client = try MeshClient(
                loop: loop, resolver: resolver, bootstrap: mesh, addresses: sockets.addresses,
                surroundings: FileBootstrap.surroundings, log: log.sink)
        } catch {
            throw .running("cache-dir: \(error)")
        }
        addresses = Addresses(admin: mesh.admin, health: mesh.health, metrics: mesh.metrics)
        isDynamic = true
        isReady = { client.isReady }
        start = { changed in
            client.configurationChanged = changed
            client.start()
        }
        stop = { client.stop() }
        takenUp = { client.discovery?.takenUp() }
        refuse = { client.discovery?.refuse($0, $1, reason: $2) ?? false }
        portsFile = { own in mesh.portsFile.map { ($0, sockets.portsText(own)) } }
        resources = { client.discovery?.held ?? [] }
        statistics = { client.discovery?.statistics }
        state = { client.state }
        controlTarget = { client.identity.mutualTarget() }
    }
}

extension MeshBootstrap {
    /// From the file, the environment and the command line.
    static func read(_ options: ProxyOptions) throws(StartFailure) -> MeshBootstrap {
        var problems = ConfigProblems()
        var file: (name: String, bytes: [UInt8])?
        if let path = options.meshPath {
            switch FileBootstrap.contents(path) {
            case .success(let bytes): file = (path, bytes)
            case .failure(let problem):
                problems.add(ConfigProblem(file: path, path: "", text: problem.text))
                throw .configuration(problems)
            }
        }
        let bootstrap = read(
            file: file, environment: FileBootstrap.environment,
            arguments: options.meshKeys.map { ($0.key, $0.value) }, problems: &problems)
        guard let bootstrap else { throw .configuration(problems) }
        return bootstrap
    }
}
