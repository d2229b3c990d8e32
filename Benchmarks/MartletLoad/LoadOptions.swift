import MeshPrimitives

/// The words of a command line that are still to be looked at.
struct ArgumentList {
    private var rest: ArraySlice<String>

    init(_ arguments: ArraySlice<String>) { rest = arguments }

    mutating func next() -> String? { rest.popFirst() }

    /// Takes the next word if it is `word`.
    mutating func next(is word: String) -> Bool {
        guard rest.first == word else { return false }
        rest.removeFirst()
        return true
    }

    mutating func value(of flag: String) throws(LoadError) -> String {
        guard let value = rest.popFirst() else { throw LoadError(usage: "\(flag): a value is missing") }
        return value
    }

    mutating func number(of flag: String, in range: ClosedRange<Int>) throws(LoadError) -> Int {
        guard let number = Int(try value(of: flag)), range.contains(number) else {
            throw LoadError(
                usage: "\(flag): a number from \(range.lowerBound) to \(range.upperBound) is meant")
        }
        return number
    }

    /// Seconds with a fraction, as nanoseconds.
    mutating func seconds(of flag: String) throws(LoadError) -> Int64 {
        guard let number = Double(try value(of: flag)), (0...86_400).contains(number) else {
            throw LoadError(usage: "\(flag): seconds are meant")
        }
        return Int64(number * 1e9)
    }

    mutating func address(of flag: String) throws(LoadError) -> SocketAddress {
        guard let address = SocketAddress(hostPort: try value(of: flag)) else {
            throw LoadError(usage: "\(flag): a numeric HOST:PORT is meant")
        }
        return address
    }
}

struct LoadOptions {
    static let usage = """
        usage: martlet-load --target HOST:PORT [options]
               martlet-load origin [options]   a fast origin; see martlet-load origin --help
          --path PATH            what to ask for (/)
          --host NAME            the Host field (the target)
          --header 'NAME: TEXT'  one more field; may be repeated
          --method NAME          GET, or POST where there is a body
          --body BYTES           size of each request's body (0)
          --connections N        kept open and each used by one request at a time (64)
          --duration SECONDS     how long to measure (10), after
          --warmup SECONDS       not measured (1)
          --requests N           end after so many requests instead, without warm-up
          --rate N               requests per second, evenly spaced; without it, the next as soon as an answer is there
          --json                 the report as JSON
        """

    static let headMax = 16 << 10

    var target = SocketAddress(ipv4: 127, 0, 0, 1, port: 0)
    var path = "/"
    var host: String?
    var fields: [String] = []
    var method: String?
    var bodyBytes = 0
    var connections = 64
    var duration: Int64 = 10_000_000_000
    var warmup: Int64 = 1_000_000_000
    var requests: Int?
    var rate: Int?
    var wantsJSON = false
    var helpWanted = false

    init(_ arguments: inout ArgumentList) throws(LoadError) {
        while let flag = arguments.next() {
            switch flag {
            case "--help": helpWanted = true
            case "--json": wantsJSON = true
            case "--target": target = try arguments.address(of: flag)
            case "--path": path = try arguments.value(of: flag)
            case "--host": host = try arguments.value(of: flag)
            case "--header": fields.append(try arguments.value(of: flag))
            case "--method": method = try arguments.value(of: flag)
            case "--body": bodyBytes = try arguments.number(of: flag, in: 0...(64 << 20))
            case "--connections": connections = try arguments.number(of: flag, in: 1...60_000)
            case "--duration": duration = try arguments.seconds(of: flag)
            case "--warmup": warmup = try arguments.seconds(of: flag)
            case "--requests": requests = try arguments.number(of: flag, in: 1...1_000_000_000)
            case "--rate": rate = try arguments.number(of: flag, in: 1...10_000_000)
            default: throw LoadError(usage: "\(flag): unknown; see --help")
            }
        }
        if requests != nil { warmup = 0 }
        if target.port == 0 && !helpWanted { throw LoadError(usage: "--target is missing; see --help") }
    }

    /// The head of every request.
    var head: String {
        let verb = method ?? (bodyBytes > 0 ? "POST" : "GET")
        var text = "\(verb) \(path) HTTP/1.1\r\nHost: \(host ?? target.description)\r\n"
        for field in fields { text += field + "\r\n" }
        if bodyBytes > 0 { text += "Content-Length: \(bodyBytes)\r\n" }
        return text + "\r\n"
    }
}
