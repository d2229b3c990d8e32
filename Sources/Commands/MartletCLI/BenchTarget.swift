import Foundation
import Glibc

/// An http URL that load is sent to.
struct BenchTarget {
    let host: String
    let port: Int
    let path: String

    /// Nil for what is no such URL; https is none, for the load generator speaks plain HTTP.
    init?(_ text: String) {
        guard let url = URLComponents(string: text), url.scheme == "http", let host = url.host, !host.isEmpty,
            url.user == nil, url.fragment == nil
        else { return nil }
        self.host = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
        port = url.port ?? 80
        let path = url.percentEncodedPath.isEmpty ? "/" : url.percentEncodedPath
        self.path = path + (url.percentEncodedQuery.map { "?" + $0 } ?? "")
    }

    /// What `Host` says unless it is told otherwise.
    private var authority: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return port == 80 ? name : "\(name):\(port)"
    }

    /// With the first address that the name has.
    func resolved(host other: String?) throws -> LoadGenerator.Target {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, String(port), &hints, &found)
        defer { freeaddrinfo(found) }
        guard status == 0, let first = found?.pointee else {
            throw BenchFailure("\(host): \(String(cString: gai_strerror(status)))")
        }
        var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        guard
            getnameinfo(
                first.ai_addr, first.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST) == 0
        else { throw BenchFailure("\(host): no address") }
        let address = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let hostPort = address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)"
        return LoadGenerator.Target(address: hostPort, host: other ?? authority, path: path)
    }
}

/// What went wrong, in words.
struct BenchFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
