import AdminAPI
import ArgumentParser
import Foundation

/// Where the control plane is, and what proves that the caller is its operator.
struct ControlOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("The control plane's HTTP address; also MARTLET_CONTROL_URL.", valueName: "url"))
    var controlURL = ProcessInfo.processInfo.environment["MARTLET_CONTROL_URL"] ?? "http://127.0.0.1:15014"

    @Option(
        help: ArgumentHelp("The file with the admin token; also MARTLET_ADMIN_TOKEN_FILE.", valueName: "file")
    )
    var adminTokenFile =
        ProcessInfo.processInfo.environment["MARTLET_ADMIN_TOKEN_FILE"] ?? "./martlet-data/admin-token"

    func client() throws -> ControlClient { try ControlClient(url: controlURL) }

    func adminToken() throws -> String {
        guard let text = try? String(contentsOfFile: adminTokenFile, encoding: .utf8) else {
            throw CommandFailed(
                "\(adminTokenFile): cannot be read; give the control plane's DATA-DIR/admin-token with --admin-token-file"
            )
        }
        return text.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}

/// A verb failed while running; one line for the operator.
struct CommandFailed: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// Asks the control plane's HTTP API: one connection for each question, since a verb asks one or two.
struct ControlClient {
    static let timeoutSeconds = 10
    static let answerBytesMax = 256 << 20

    private let host: String
    private let port: String
    /// Which program is expected to answer.
    private let name: String

    init(url: String, name: String = "martlet-control") throws {
        self.name = name
        let parts = URLComponents(string: url)
        guard let parts, parts.scheme == "http", let host = parts.host, !host.isEmpty,
            parts.path.isEmpty || parts.path == "/"
        else {
            throw ValidationError("'\(url)' is not an address of \(name); write http://HOST:PORT")
        }
        self.host = host.trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
        port = String(parts.port ?? 80)
    }

    func get<Answer: Decodable>(_ path: String, as _: Answer.Type) throws -> Answer {
        try ask("GET", path, token: nil, body: nil)
    }

    /// The body of an answer that is not ours to decode; nil for 404.
    func text(_ path: String) throws -> Data? {
        let head = "GET \(path) HTTP/1.1\r\nhost: \(host):\(port)\r\nconnection: close\r\n\r\n"
        let answer = try exchange(Data(head.utf8))
        guard let end = answer.range(of: Data("\r\n\r\n".utf8)) else {
            throw CommandFailed("http://\(host):\(port): the answer is not HTTP")
        }
        let lines = String(decoding: answer[..<end.lowerBound], as: UTF8.self)
        let status = lines.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        if status == 404 { return nil }
        guard status == 200 else { throw CommandFailed("http://\(host):\(port)\(path): HTTP \(status)") }
        return answer[end.upperBound...]
    }

    func post<Answer: Decodable>(
        _ path: String, _ body: some Encodable, token: String, as _: Answer.Type
    ) throws -> Answer {
        try ask("POST", path, token: token, body: try JSONEncoder().encode(body))
    }

    private func ask<Answer: Decodable>(
        _ method: String, _ path: String, token: String?, body: Data?
    ) throws -> Answer {
        var head =
            "\(method) \(path) HTTP/1.1\r\nhost: \(host):\(port)\r\nconnection: close\r\naccept: application/json\r\n"
        if let token { head += "authorization: Bearer \(token)\r\n" }
        if let body { head += "content-type: application/json\r\ncontent-length: \(body.count)\r\n" }
        let answer = try exchange(Data((head + "\r\n").utf8) + (body ?? Data()))
        guard let end = answer.range(of: Data("\r\n\r\n".utf8)) else {
            throw CommandFailed("http://\(host):\(port): the answer is not HTTP")
        }
        let lines = String(decoding: answer[..<end.lowerBound], as: UTF8.self)
        let status = lines.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        let content = answer[end.upperBound...]
        guard (200..<300).contains(status) else {
            let problem = try? JSONDecoder().decode(Problem.self, from: content)
            throw CommandFailed(
                "\(problem?.title ?? "HTTP \(status)"): \(problem?.detail ?? "\(method) \(path)")")
        }
        do {
            return try JSONDecoder().decode(Answer.self, from: content)
        } catch {
            throw CommandFailed("http://\(host):\(port)\(path): the answer is of another version: \(error)")
        }
    }

    // MARK: One connection

    private func exchange(_ request: Data) throws -> Data {
        let connection = try connect()
        defer { close(connection) }
        var sent = 0
        try request.withUnsafeBytes { bytes in
            while sent < bytes.count {
                let count = send(
                    connection, bytes.baseAddress?.advanced(by: sent), bytes.count - sent,
                    Int32(MSG_NOSIGNAL))
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { throw failure() }
                sent += count
            }
        }
        var answer = Data()
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while answer.count < Self.answerBytesMax {
            let count = recv(connection, &chunk, chunk.count, 0)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure() }
            guard count > 0 else { break }
            answer.append(contentsOf: chunk[..<count])
        }
        return answer
    }

    private func connect() throws -> Int32 {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, port, &hints, &found)
        guard code == 0 else { throw CommandFailed("\(host): \(String(cString: gai_strerror(code)))") }
        defer { freeaddrinfo(found) }
        var timeout = timeval(tv_sec: Self.timeoutSeconds, tv_usec: 0)
        var next = found
        while let address = next?.pointee {
            next = address.ai_next
            let connection = socket(address.ai_family, address.ai_socktype | Int32(SOCK_CLOEXEC.rawValue), 0)
            guard connection >= 0 else { continue }
            for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
                setsockopt(connection, SOL_SOCKET, option, &timeout, socklen_t(MemoryLayout<timeval>.size))
            }
            if Foundation.connect(connection, address.ai_addr, address.ai_addrlen) == 0 { return connection }
            let error = errno
            close(connection)
            errno = error
        }
        throw failure()
    }

    private func failure() -> CommandFailed {
        let reason =
            errno == EAGAIN ? "no answer in \(Self.timeoutSeconds) s" : String(cString: strerror(errno))
        return CommandFailed("http://\(host):\(port): \(reason); is \(name) running there?")
    }
}
