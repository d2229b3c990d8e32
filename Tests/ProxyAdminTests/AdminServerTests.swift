import MeshPrimitives
import Reactor
import Testing
import XDSClient

@testable import ProxyAdmin

@Suite("The admin server")
struct AdminServerTests {
    private func makeServer(
        _ limits: AdminServer.Limits = AdminServer.Limits(),
        answer: @escaping (AdminRequest) -> AdminAnswer = { .text("\($0.method) \($0.path)\n") }
    ) throws -> (AdminServer, SocketAddress, ControlLoop) {
        let loop = try ControlLoop(kernel: LinuxKernel.make())
        let server = AdminServer(loop: loop, limits: limits, answer: answer)
        return (server, try server.listen(SocketAddress(ipv4: 127, 0, 0, 1, port: 0)), loop)
    }

    @Test("Requests follow each other on one connection")
    func keepAlive() throws {
        let (server, address, loop) = try makeServer()
        defer { server.stop() }
        let client = try LoopClient(address, loop)
        for number in 0..<3 {
            let answer = client.ask("GET", "/page\(number)")
            #expect(answer.status == 200 && answer.text == "get /page\(number)\n", "\(client.text)")
            #expect(answer.head.contains("\r\ndate: ") && !answer.head.contains("connection: close"))
        }
        #expect(server.connectionCount == 1)
    }

    @Test("Requests that come in one piece are all answered, in order; those in many pieces too")
    func pipelining() throws {
        let (server, address, loop) = try makeServer()
        defer { server.stop() }
        let client = try LoopClient(address, loop)
        client.send((0..<200).map { "GET /\($0) HTTP/1.1\r\nhost: a\r\n\r\n" }.joined())
        client.wait("the last answer") { client.text.hasSuffix("get /199\n") }
        client.clear()
        for byte in "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n" {
            client.send(String(byte))
            loop.turn(until: loop.kernel.now())
        }
        client.wait("the answer") { client.text.hasSuffix("get /slow\n") }
    }

    @Test("HEAD has the head alone, HTTP/1.0 ends the connection, a body is dropped")
    func forms() throws {
        let (server, address, loop) = try makeServer()
        defer { server.stop() }
        let client = try LoopClient(address, loop)
        let head = client.ask("HEAD", "/x")
        #expect(head.status == 200 && head.head.contains("content-length: 7") && head.body.isEmpty)
        client.clear()
        client.send("POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n")
        client.send(
            "helloPOST /y HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        client.wait("both answers") { client.text.hasSuffix("post /y\n") }
        client.send("GET /z HTTP/1.0\r\n\r\n")
        client.wait("the end") { client.isClosed }
        #expect(client.text.hasSuffix("get /z\n") && client.text.contains("connection: close"))
    }

    @Test(
        "What is no request is refused, and the connection ends",
        arguments: [
            ("garbage\r\n\r\n", 400), ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET /%zz HTTP/1.1\r\nhost: a\r\n\r\n", 400),
            ("GET /\(String(repeating: "x", count: 20_000)) HTTP/1.1\r\nhost: a\r\n\r\n", 431),
            ("GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
            (
                "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n"
                    + String(repeating: "x", count: 70_000), 413
            ),
        ])
    func refusals(_ text: String, _ status: Int) throws {
        let (server, address, loop) = try makeServer()
        defer { server.stop() }
        let client = try LoopClient(address, loop)
        client.send(text)
        client.wait("an answer") { LoopClient.Answer(client.received) != nil }
        #expect(LoopClient.Answer(client.received)?.status == status, "\(client.text)")
        if !text.contains("%zz") {
            client.wait("the end") { client.isClosed }
            #expect(client.text.contains("connection: close"))
        }
    }

    @Test("Slow clients lose their place to new ones")
    func slowClients() throws {
        var limits = AdminServer.Limits()
        limits.connectionsMax = 8
        let (server, address, loop) = try makeServer(limits)
        defer { server.stop() }
        var slow: [LoopClient] = []
        for _ in 0..<8 {
            let client = try LoopClient(address, loop)
            client.send("GET / HTT")
            slow.append(client)
        }
        slow[7].wait("all connections") { server.connectionCount == 8 }
        let client = try LoopClient(address, loop)
        #expect(client.ask("GET", "/ready").status == 200)
        #expect(server.connectionCount == 8)
        slow[0].wait("the end of the slowest") { slow.contains { $0.isClosed } }
    }

    @Test("A client that never finishes its request is closed after its time")
    func requestTime() throws {
        var limits = AdminServer.Limits()
        limits.requestTime = .milliseconds(30)
        let (server, address, loop) = try makeServer(limits)
        defer { server.stop() }
        let client = try LoopClient(address, loop)
        client.send("GET / HTTP/1.1\r\n")
        client.wait("the end") { client.isClosed }
        #expect(client.received.isEmpty && server.connectionCount == 0)
    }

    @Test("A large answer is made as its reader takes it, and others are answered meanwhile")
    func backPressure() throws {
        var made = 0
        let (server, address, loop) = try makeServer { request in
            if request.path == "/small" { return .text("ok\n") }
            var left = 400
            return AdminAnswer(
                type: "text/plain",
                .parts {
                    left -= 1
                    made += 1
                    return left < 0 ? nil : [UInt8](repeating: 0x61, count: 64 << 10)
                })
        }
        defer { server.stop() }
        let reader = try LoopClient(address, loop)
        reader.isPaused = true
        reader.send("GET /large HTTP/1.1\r\nhost: a\r\n\r\n")
        reader.wait("the start") { made > 2 }
        let other = try LoopClient(address, loop)
        for _ in 0..<50 { #expect(other.ask("GET", "/small").text == "ok\n") }
        #expect(made < 400, "the kernel's buffers hold less than 25 MiB")
        #expect(server.waitingBytes < 1 << 20)
        reader.isPaused = false
        reader.read()
        reader.wait("the whole") { LoopClient.Answer(reader.received) != nil }
        #expect(LoopClient.Answer(reader.received)?.body.count == 400 * (64 << 10))
    }

    @Test("What waits to be read is bounded over all connections")
    func waitingBound() throws {
        var limits = AdminServer.Limits()
        limits.waitingBytesMax = 32 << 20
        let (server, address, loop) = try makeServer(limits) { request in
            AdminAnswer(
                type: "text/plain",
                .bytes([UInt8](repeating: 0x61, count: request.path == "/big" ? 20 << 20 : 3)))
        }
        defer { server.stop() }
        let first = try LoopClient(address, loop)
        first.isPaused = true
        first.send("GET /big HTTP/1.1\r\nhost: a\r\n\r\n")
        first.wait("the first") { server.waitingBytes > 0 }
        let second = try LoopClient(address, loop)
        #expect(second.ask("GET", "/big").status == 503)
        #expect(second.ask("GET", "/little").status == 200)
    }

    @Test("What follows an answer is done once, when it was written or the client is gone")
    func afterwards() throws {
        var done = 0
        let (server, address, loop) = try makeServer { _ in
            var answer = AdminAnswer.text("ok")
            answer.afterwards = { done += 1 }
            return answer
        }
        defer { server.stop() }
        let client = try LoopClient(address, loop)
        #expect(client.ask("GET", "/").status == 200 && done == 1)
        let gone = try LoopClient(address, loop)
        gone.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        loop.kernel.shutdownWrite(gone.descriptor)
        gone.wait("the deed") { done == 2 }
    }
}
