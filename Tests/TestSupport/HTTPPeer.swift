import Foundation

/// What a peer does when a request has come.
public enum PeerReply: Sendable {
    case answer(Int, fields: [(String, String)] = [], body: String = "")
    case chunks(Int, [String], trailers: [(String, String)] = [])
    /// An answer with so many bytes, sent as fast as they are taken.
    case long(Int)
    /// Any bytes; the connection stays open.
    case raw(String)
    /// Any bytes, then a FIN.
    case rawThenClose(String)
    /// An orderly answer, then a FIN that no field announced.
    case answerThenClose(Int, body: String = "")
    /// Nothing more, for as long as the peer lives.
    case hang
    case close
    case reset
    /// After so many seconds.
    indirect case delayed(Double, PeerReply)
}

/// A server on a loopback port of its own, with a thread for each connection, which does what its script says.
public final class HTTPPeer: @unchecked Sendable {
    public struct Request: Sendable {
        public let message: HTTPMessage
        /// The how-manyeth connection to this peer it came on, and the how-manyeth request to this peer it is; from 0.
        public let connection: Int
        public let number: Int
    }

    /// When the script is asked.
    public enum Moment: Sendable { case afterBody, afterHead }

    public let port: UInt16
    private let listener: ListeningSocket
    private let moment: Moment
    private let script: @Sendable (Request) -> PeerReply
    private let lock = NSLock()
    private var seen: [Request] = []
    private var accepted = 0
    private var open: [TCPStream] = []
    private var isStopped = false
    private var drops = false

    public init(_ moment: Moment = .afterBody, script: @escaping @Sendable (Request) -> PeerReply) throws {
        (self.moment, self.script) = (moment, script)
        listener = try ListeningSocket()
        port = listener.port
        let reference = WeakReference(self)
        listener.start { Self.accepted($0) { reference.peer } }
    }

    /// The threads must not keep the peer alive.
    private final class WeakReference: @unchecked Sendable {
        weak var peer: HTTPPeer?
        init(_ peer: HTTPPeer) { self.peer = peer }
    }

    /// Always the same answer.
    public convenience init(_ status: Int = 200, body: String = "hello") throws {
        try self.init { _ in .answer(status, body: body) }
    }

    deinit { stop() }

    /// Closes the port and ends every connection.
    public func stop() {
        lock.lock()
        let streams = open
        let wasStopped = isStopped
        (open, isStopped) = ([], true)
        lock.unlock()
        if wasStopped { return }
        listener.stop()
        for stream in streams { stream.interrupt() }
    }

    /// While set, connections are closed instead of answers sent.
    public var isDropping: Bool {
        get { lock.withLock { drops } }
        set { lock.withLock { drops = newValue } }
    }

    /// The requests so far, in the order in which they came.
    public var requests: [Request] { lock.withLock { seen } }
    public var connectionCount: Int { lock.withLock { accepted } }
    public var openConnectionCount: Int { lock.withLock { open.count } }

    /// Waits until this side has closed every connection.
    public func awaitClosed() throws {
        try eventually("the peer to close its connections") { openConnectionCount == 0 ? true : nil }
    }

    /// Ends all connections that are open now (`reset`: by RST); the port stays open.
    public func dropConnections(reset: Bool = false) {
        let streams = lock.withLock {
            defer { open = [] }
            return open
        }
        for stream in streams { reset ? stream.reset() : stream.interrupt() }
    }

    private static func accepted(_ stream: TCPStream, _ peer: @escaping @Sendable () -> HTTPPeer?) {
        guard let index = peer()?.register(stream) else { return }
        Thread.detachNewThread {
            stream.patience = 60
            converse(stream, index, peer)
            stream.close()
            peer()?.forget(stream)
        }
    }

    private func register(_ stream: TCPStream) -> Int? {
        lock.withLock {
            guard !isStopped else { return nil }
            accepted += 1
            open.append(stream)
            return accepted - 1
        }
    }

    private func forget(_ stream: TCPStream) { lock.withLock { open.removeAll { $0 === stream } } }

    private func note(_ message: HTTPMessage, on connection: Int) -> Request {
        lock.withLock {
            let request = Request(message: message, connection: connection, number: seen.count)
            seen.append(request)
            return request
        }
    }

    /// Holds the peer only while a request is answered, so that an idle connection does not keep it.
    private static func converse(_ stream: TCPStream, _ connection: Int, _ peer: () -> HTTPPeer?) {
        do {
            while var message = try stream.readHead() {
                guard let moment = peer()?.moment else { return }
                if message["expect"]?.lowercased() == "100-continue" && moment == .afterBody {
                    try stream.send("HTTP/1.1 100 Continue\r\n\r\n")
                }
                if moment == .afterBody { try stream.readBody(of: &message, untilEnd: false) }
                guard let (request, script) = peer().map({ ($0.note(message, on: connection), $0.script) })
                else { return }
                let reply = peer()?.isDropping == false ? script(request) : .close
                guard try perform(reply, on: stream, toHead: message.method == "HEAD") else { return }
            }
        } catch {
            // The other side went away: what it did is for the test to judge.
        }
    }

    /// False: this connection is over.
    private static func perform(_ reply: PeerReply, on stream: TCPStream, toHead: Bool) throws -> Bool {
        switch reply {
        case .answer(let status, let fields, let body):
            try stream.send(
                head(status, fields + [("content-length", "\(body.utf8.count)")]) + (toHead ? "" : body))
            return true
        case .chunks(let status, let chunks, let trailers):
            try stream.send(head(status, [("transfer-encoding", "chunked")]))
            for chunk in chunks { try stream.send(String(chunk.utf8.count, radix: 16) + "\r\n\(chunk)\r\n") }
            try stream.send("0\r\n" + trailers.map { "\($0.0): \($0.1)\r\n" }.joined() + "\r\n")
            return true
        case .long(let count):
            try stream.send(head(200, [("content-length", "\(count)")]))
            if toHead { return true }
            let piece = [UInt8](repeating: 0x79, count: 256 << 10)
            for start in stride(from: 0, to: count, by: piece.count) {
                try stream.send(start + piece.count <= count ? piece : Array(piece[..<(count - start)]))
            }
            return true
        case .raw(let text):
            try stream.send(text)
            return true
        case .rawThenClose(let text):
            try stream.send(text)
            return false
        case .answerThenClose(let status, let body):
            try stream.send(head(status, [("content-length", "\(body.utf8.count)")]) + body)
            return false
        case .hang:
            stream.patience = 3600
            _ = try stream.readToEnd()
            return false
        case .close:
            return false
        case .reset:
            stream.reset()
            return false
        case .delayed(let seconds, let later):
            usleep(UInt32(seconds * 1_000_000))
            return try perform(later, on: stream, toHead: toHead)
        }
    }

    private static func head(_ status: Int, _ fields: [(String, String)]) -> String {
        "HTTP/1.1 \(status) Status\r\n" + fields.map { "\($0.0): \($0.1)\r\n" }.joined() + "\r\n"
    }
}
