import MeshPrimitives
import Reactor
import Telemetry
import Testing
import TrafficPolicy

@testable import Proxy
@testable import ProxyAdmin

@Suite("Stories of requests")
struct RequestStoryTests {
    private static let endpoint = SocketAddress(ipv4: 127, 0, 0, 1, port: 81)

    private func lines(_ change: (inout ExchangeRecord, ProcessState) -> Void) throws -> [String] {
        let server = try ProxyServer(kernel: LinuxKernel.make(), workers: 1, log: ProcessLog(level: .off))
        var record = ExchangeRecord()
        record.method = .get
        change(&record, server.process)
        return RequestStory(record: record, process: server.process).lines
    }

    @Test("It says what came, which route took it, what each attempt came to, and how it ended")
    func attempts() throws {
        let lines = try lines { record, process in
            record.downstreamRemote = SocketAddress(ipv4: 10, 0, 0, 7, port: 4000)
            record.downstreamProtocol = .http2
            record.listener = process.nameID("listener main")
            record.route = process.nameID("prefix /cart")
            record.virtualHost = process.nameID("shop")
            record.configurationVersion = 3
            record.breaker = .probe
            record.attemptStarted(at: 0, endpoint: Self.endpoint, cause: nil)
            record.attemptEnded(at: 1_500_000, .connectFailed)
            record.attemptStarted(at: 2_000_000, endpoint: Self.endpoint, cause: .connectFailure)
            record.attemptEnded(at: 2_250_000, .answered, status: 200)
            record.status = 200
            record.details = .viaUpstream
            record.ended = 2_300_000
            record.bytesSent = 12
        }
        #expect(
            lines == [
                "A GET request came from 10.0.0.7:4000 at listener main by HTTP/2.",
                "Route 'prefix /cart' of virtual host 'shop' took it (configuration 3).",
                "The circuit breaker of the service was half-open, and let this request try.",
                "Attempt 1 went to 127.0.0.1:81 after 0.000 ms: the connection was refused or failed after 1.500 ms.",
                "Attempt 2, because of connect_failure, went to 127.0.0.1:81 after 2.000 ms: it was answered with status 200 after 0.250 ms.",
                "It was answered with 200 (via_upstream) after 2.300 ms: 0 bytes of body in, 12 out.",
            ])
    }

    @Test("It says what a rate limit had left, and that no route took a request only where that is so")
    func refusals() throws {
        let limited = try lines { record, process in
            record.limiter = .refused
            record.limiterPlace = process.nameID("route cart")
            (record.limiterRemaining, record.limiterMax) = (0, 10)
            record.flags = .rateLimited
            record.status = 429
        }
        #expect(limited.contains("The rate limit at 'route cart' refused it: 0 of 10 tokens left."))
        #expect(!limited.contains("No route took it."))
        #expect(try lines { record, _ in record.flags = .noRouteFound }.contains("No route took it."))
    }
}
