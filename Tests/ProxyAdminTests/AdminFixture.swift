import MeshModel
import MeshPrimitives
import Proxy
import Reactor
import Testing
import XDSClient
import XDSDiscovery
import XDSSchema

@testable import ProxyAdmin

struct FixtureFailure: Error, CustomStringConvertible {
    let description: String
}

/// A client on the loop of the server that it talks to, so that nobody waits for another thread.
final class LoopClient {
    let loop: ControlLoop
    let descriptor: Descriptor
    private var registration: ControlLoop.Registration?
    private var pool = BufferPool()
    private(set) var received: [UInt8] = []
    private(set) var isClosed = false
    var isPaused = false
    private var isReadable = false

    init(_ address: SocketAddress, _ loop: ControlLoop) throws {
        self.loop = loop
        switch loop.kernel.connect(address) {
        case .connected(let descriptor), .inProgress(let descriptor): self.descriptor = descriptor
        case .failed(let error): throw error
        }
        registration = try loop.register(descriptor) { [weak self] in self?.ready($0) }
    }

    deinit {
        if let registration { loop.cancel(registration) }
        loop.kernel.close(descriptor)
    }

    var text: String { String(decoding: received, as: UTF8.self) }

    func send(_ text: String) {
        text.withByteView { bytes in
            guard case .bytes(bytes.count) = loop.kernel.send(descriptor, bytes) else {
                Issue.record("a short write of \(bytes.count) bytes")
                return
            }
        }
    }

    func finish() { loop.kernel.shutdownWrite(descriptor) }

    private func ready(_ readiness: Readiness) {
        isReadable = true
        if !isPaused { read() }
    }

    func read() {
        var block = pool.take(BufferPool.sizes.large)
        defer { pool.give(&block) }
        while isReadable {
            switch loop.kernel.receive(descriptor, into: &block) {
            case .bytes:
                received += block.view.bytes
                block.removeAll()
            case .wouldBlock: isReadable = false
            case .closed, .failed:
                isReadable = false
                isClosed = true
            }
        }
    }

    /// Turns the loop until it holds; an issue after ten seconds.
    func wait(_ what: String, _ condition: () -> Bool) {
        let limit = loop.kernel.now().advanced(by: .seconds(10))
        if loop.run(until: limit, while: { !condition() }) {
            Issue.record("\(what) did not come: \(text.prefix(500))")
        }
    }

    /// Forgets what has come so far.
    func clear() { received = [] }

    func ask(_ method: String, _ target: String) -> Answer {
        clear()
        send("\(method) \(target) HTTP/1.1\r\nhost: test\r\n\r\n")
        wait("an answer") { Answer(received, isHead: method == "HEAD") != nil || isClosed }
        return Answer(received, isHead: method == "HEAD") ?? Answer(status: 0, head: text, body: [])
    }

    struct Answer {
        var status: Int
        var head: String
        var body: [UInt8]
        var text: String { String(decoding: body, as: UTF8.self) }

        init(status: Int, head: String, body: [UInt8]) {
            (self.status, self.head, self.body) = (status, head, body)
        }

        /// nil while it is not complete.
        init?(_ bytes: [UInt8], isHead: Bool = false) {
            let end = bytes.indices.first { bytes[$0...].starts(with: [13, 10, 13, 10]) }
            guard let end else { return nil }
            head = String(decoding: bytes[..<end], as: UTF8.self)
            status = Int(head.split(separator: " ").dropFirst().first ?? "") ?? 0
            var rest = bytes[(end + 4)...]
            body = []
            if isHead { return }
            let lines = head.split(separator: "\r\n")
            if let line = lines.first(where: { $0.hasPrefix("content-length: ") }) {
                guard let count = Int(line.dropFirst(16)), rest.count >= count else { return nil }
                body = Array(rest.prefix(count))
            } else {
                while true {
                    guard let lineEnd = rest.firstIndex(of: 13) else { return nil }
                    let digits = String(decoding: rest[..<lineEnd], as: UTF8.self)
                    guard let count = Int(digits, radix: 16), rest.endIndex >= lineEnd + 4 + count else {
                        return nil
                    }
                    if count == 0 { return }
                    body += rest[(lineEnd + 2)..<(lineEnd + 2 + count)]
                    rest = rest[(lineEnd + 4 + count)...]
                }
            }
        }
    }
}

/// The pages of a data plane without workers.
final class PagesFixture {
    let loop: ControlLoop
    let server: ProxyServer
    let pages: AdminPages
    let admin: AdminServer
    let client: LoopClient
    final class Calls {
        var isReady = true
        var isStopping = false
        var drains = 0
        var quits = 0
        var resources: [HeldResource] = []
    }
    let calls = Calls()

    init(_ bootstrap: String) throws {
        let kernel = LinuxKernel.make()
        loop = try ControlLoop(kernel: kernel)
        server = try ProxyServer(kernel: kernel, workers: 1, log: ProcessLog(level: .off))
        var problems = ConfigProblems()
        let message = TextReader.read(
            Array(bootstrap.utf8), as: XDS.Bootstrap.messageType, file: "test", problems: &problems)
        guard let message else { throw FixtureFailure(description: "\(problems.list)") }
        let surroundings = ConfigSurroundings(readFile: { .failure(.init("no file \($0)")) })
        let compiled = Bootstrap.compile(message, surroundings: surroundings, problems: &problems)
        guard let compiled else { throw FixtureFailure(description: "\(problems.list)") }
        var discovery = ADSClient(bootstrap: compiled, surroundings: surroundings)
        _ = discovery.start(at: .zero)
        try server.apply(discovery.configuration)
        var facts = AdminPages.Facts()
        facts.version = "1.2.3"
        facts.options = { [("concurrency", "1"), ("log-level", "info")] }
        (facts.started, facts.startedAt) = (loop.now, loop.wallClock)
        var around = AdminPages.Surroundings()
        let calls = calls
        around.isReady = { calls.isReady }
        around.isStopping = { calls.isStopping }
        around.bootstrap = { message }
        around.node = { compiled.node }
        around.resources = { calls.resources }
        around.drainListeners = { calls.drains += 1 }
        around.quit = { calls.quits += 1 }
        let pages = AdminPages(server: server, loop: loop, facts: facts, surroundings: around)
        self.pages = pages
        admin = AdminServer(loop: loop) { pages.answer($0) }
        let address = try admin.listen(SocketAddress(ipv4: 127, 0, 0, 1, port: 0))
        client = try LoopClient(address, loop)
    }

    deinit {
        admin.stop()
        server.stop()
    }

    func get(_ target: String) -> LoopClient.Answer { client.ask("GET", target) }
    func post(_ target: String) -> LoopClient.Answer { client.ask("POST", target) }
}
