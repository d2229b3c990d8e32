import Glibc
import MeshPrimitives
import Synchronization

/// Calls other services through one address, the sidecar's, and keeps a few connections to it.
final class HTTPClient: Sendable {
    static let idleMax = 64

    private let address: SocketAddress
    private let idle = Mutex<[CInt]>([])

    init(address: SocketAddress) { self.address = address }

    /// A GET goes out a second time where a kept connection proves dead; a POST always takes a fresh connection, so
    /// that it is sent once.
    func call(
        _ method: String, _ path: String, host: String, fields: [(String, String)], body: [UInt8] = []
    ) throws(DemoError) -> HTTPResponse {
        var head = "\(method) \(path) HTTP/1.1\r\nhost: \(host)\r\n"
        for (name, value) in fields { head += "\(name): \(value)\r\n" }
        if !body.isEmpty || method == "POST" { head += "content-length: \(body.count)\r\n" }
        let bytes = Array((head + "\r\n").utf8) + body
        if method == "GET", let kept = idle.withLock({ $0.popLast() }),
            let response = exchange(bytes, on: kept)
        {
            return response
        }
        guard let response = exchange(bytes, on: try Socket.connect(to: address)) else {
            throw DemoError("\(host) by way of \(address): the connection ended without an answer")
        }
        return response
    }

    private func exchange(_ bytes: [UInt8], on descriptor: CInt) -> HTTPResponse? {
        var reader = HTTPReader(descriptor)
        guard Socket.write(bytes, to: descriptor), let (response, reusable) = try? reader.response() else {
            close(descriptor)
            return nil
        }
        let kept = idle.withLock { list in
            guard reusable, list.count < Self.idleMax else { return false }
            list.append(descriptor)
            return true
        }
        if !kept { close(descriptor) }
        return response
    }
}
