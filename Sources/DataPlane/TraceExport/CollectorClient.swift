import HTTP2Codec
import MeshModel
import MeshPrimitives
import Reactor
import Telemetry
import XDSClient

/// What became of a batch.
enum DeliveryOutcome: Equatable {
    case delivered
    /// The same batch may be sent again.
    case failed(String)
    /// It will never be taken.
    case refused(String)
}

/// One way to a collector, over a connection that is kept from one batch to the next.
protocol CollectorClient: AnyObject {
    /// `completion` is told once, unless `close` comes first.
    func send(_ request: [UInt8], _ completion: @escaping (DeliveryOutcome) -> Void)
    func close()
}

/// By opentelemetry.proto.collector.trace.v1.TraceService/Export.
final class GRPCCollector: CollectorClient {
    private static let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    private static let answerBytesMax = 1 << 16

    private let loop: ControlLoop
    private let resolver: NameResolver
    private let target: ClientTarget
    private let authority: String
    private let fields: [(name: String, value: String)]
    private let timeout: Int64
    private var channel: GRPCChannel?
    private var stream: GRPCStream?
    private var hosts = 0

    init(
        _ loop: ControlLoop, _ resolver: NameResolver, _ target: ClientTarget, _ collector: TraceCollector,
        authority: String
    ) {
        (self.loop, self.resolver, self.target, self.authority) = (loop, resolver, target, authority)
        fields = collector.fields.map { ($0.name, $0.value) }
        timeout = collector.timeout
    }

    func send(_ request: [UInt8], _ completion: @escaping (DeliveryOutcome) -> Void) {
        let channel =
            channel
            ?? GRPCChannel(
                loop: loop, resolver: resolver, target: target, authority: authority, firstHost: hosts
            ) { [weak self] _ in
                // The next time another host comes first.
                self?.hosts += 1
                self?.channel = nil
            }
        self.channel = channel
        let stream = GRPCStream(
            path: Self.path, metadata: fields, deadline: .nanoseconds(timeout),
            messageMax: Self.answerBytesMax
        ) { event in
            guard case .ended(let failure) = event else { return }
            completion(Self.outcome(failure))
        }
        self.stream = stream
        channel.start(stream)
        stream.send(request)
        stream.finish()
    }

    func close() {
        stream?.cancel()
        channel?.close()
        (stream, channel) = (nil, nil)
    }

    /// Which failures may be tried again: OTLP's specification, "Failures".
    static func outcome(_ failure: GRPCFailure?) -> DeliveryOutcome {
        guard let failure else { return .delivered }
        guard case .status(let status) = failure else { return .failed(failure.description) }
        switch status.code {
        case .ok: return .delivered
        case .cancelled, .deadlineExceeded, .aborted, .outOfRange, .unavailable, .dataLoss,
            .resourceExhausted:
            return .failed(failure.description)
        default: return .refused(failure.description)
        }
    }
}
