import MeshPrimitives

/// The command line.
struct Options {
    enum ServiceName: String, CaseIterable { case portal, orders, quotes, payments }

    static let usage = """
        usage: martlet-demo-service --service portal|orders|quotes|payments [options]
          --version NAME        what the answers call this version (v1)
          --listen HOST:PORT    where to listen (127.0.0.1:0)
          --outbound HOST:PORT  where calls to other services go: the sidecar's outbound listener
          --ports-file PATH     gets the bound address, as `http: HOST:PORT`
          --fail-ratio R        this share of the business requests is answered with 500, evenly spread (0)
          --delay MS            wait before each business answer (0)
          --hang                answer no business request until told otherwise
        At run time: POST /admin/fail?ratio=R, /admin/hang?on=0|1, /admin/delay?ms=N, /admin/outbound?to=HOST:PORT;
        GET /counts, /headers, /healthz.
        """

    var service = ServiceName.portal
    var version = "v1"
    var listen = SocketAddress(ipv4: 127, 0, 0, 1, port: 0)
    var outbound: SocketAddress?
    var portsFile: String?
    var behaviour = Behaviour()
    var helpWanted = false

    init(arguments: [String]) throws(DemoError) {
        var rest = arguments[...]
        var serviceGiven = false
        while let flag = rest.popFirst() {
            switch flag {
            case "--help": helpWanted = true
            case "--hang": behaviour.hangs = true
            case "--service":
                guard let name = ServiceName(rawValue: try Self.value(of: flag, &rest)) else {
                    throw DemoError("--service: one of \(ServiceName.allCases.map(\.rawValue)) is meant")
                }
                (service, serviceGiven) = (name, true)
            case "--version": version = try Self.value(of: flag, &rest)
            case "--listen": listen = try Self.address(of: flag, &rest)
            case "--outbound": outbound = try Self.address(of: flag, &rest)
            case "--ports-file": portsFile = try Self.value(of: flag, &rest)
            case "--fail-ratio":
                guard let ratio = Double(try Self.value(of: flag, &rest)), (0...1).contains(ratio) else {
                    throw DemoError("--fail-ratio: a number between 0 and 1 is meant")
                }
                behaviour.failRatio = ratio
            case "--delay":
                guard let delay = Int(try Self.value(of: flag, &rest)), (0...60_000).contains(delay) else {
                    throw DemoError("--delay: milliseconds up to 60000 are meant")
                }
                behaviour.delayMilliseconds = delay
            default: throw DemoError("\(flag): unknown; see --help")
            }
        }
        if !serviceGiven && !helpWanted { throw DemoError("--service is missing; see --help") }
    }

    private static func value(of flag: String, _ rest: inout ArraySlice<String>) throws(DemoError) -> String {
        guard let value = rest.popFirst() else { throw DemoError("\(flag): a value is missing") }
        return value
    }

    private static func address(
        of flag: String, _ rest: inout ArraySlice<String>
    ) throws(DemoError) -> SocketAddress {
        guard let address = SocketAddress(hostPort: try value(of: flag, &rest)) else {
            throw DemoError("\(flag): a numeric HOST:PORT is meant")
        }
        return address
    }
}

/// How a service misbehaves, changed at run time.
struct Behaviour: Sendable {
    var failRatio = 0.0
    var hangs = false
    var delayMilliseconds = 0
}
