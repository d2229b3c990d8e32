import Glibc
import Synchronization

/// Accepts connections and answers their requests, each connection on a thread of its own.
final class HTTPServer: Sendable {
    /// Further connections are closed at once.
    static let connectionsMax = 1024

    private let listener: CInt
    private let connections = Atomic(0)

    init(listener: CInt) { self.listener = listener }

    /// Does not return.
    func run(_ answer: @escaping @Sendable (HTTPRequest) -> HTTPResponse) {
        while true {
            let descriptor = accept(listener, nil, nil)
            guard descriptor >= 0 else {
                // Out of descriptors: those in use end sooner or later.
                if errno != EINTR && errno != ECONNABORTED { usleep(10_000) }
                continue
            }
            guard connections.add(1, ordering: .relaxed).newValue <= Self.connectionsMax else {
                connections.subtract(1, ordering: .relaxed)
                close(descriptor)
                continue
            }
            let started = startThread {
                self.converse(descriptor, answer)
                close(descriptor)
                self.connections.subtract(1, ordering: .relaxed)
            }
            if !started {
                connections.subtract(1, ordering: .relaxed)
                close(descriptor)
            }
        }
    }

    private func converse(_ descriptor: CInt, _ answer: (HTTPRequest) -> HTTPResponse) {
        Socket.prepare(descriptor)
        var reader = HTTPReader(descriptor)
        while true {
            let request: HTTPRequest
            do {
                request = try reader.request()
            } catch {
                let refusal = HTTPResponse(status: 400).encoded(headOnly: false, closing: true)
                if error == .malformed { _ = Socket.write(refusal, to: descriptor) }
                return
            }
            let response = answer(request)
            let bytes = response.encoded(headOnly: request.method == "HEAD", closing: request.wantsClose)
            guard Socket.write(bytes, to: descriptor), !request.wantsClose else { return }
        }
    }
}

/// Runs `body` on a detached thread; false if there can be no more threads.
func startThread(_ body: @escaping @Sendable () -> Void) -> Bool {
    final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setdetachstate(&attributes, CInt(PTHREAD_CREATE_DETACHED))
    pthread_attr_setstacksize(&attributes, 512 << 10)
    var thread = pthread_t()
    let box = Unmanaged.passRetained(Box(body))
    let result = pthread_create(
        &thread, &attributes,
        { argument in
            if let argument { Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body() }
            return nil
        }, box.toOpaque())
    if result != 0 { box.release() }
    return result == 0
}
