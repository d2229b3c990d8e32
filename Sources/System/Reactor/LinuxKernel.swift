import CLinux
import Glibc
import MeshPrimitives

/// The real machine. The only place that makes socket calls.
public enum LinuxKernel {
    public static func make() -> Kernel { kernel }

    private static let kernel: Kernel = {
        // Never freed: every kernel points to it.
        let table = UnsafeMutablePointer<KernelTable>.allocate(capacity: 1)
        unsafe table.initialize(to: makeTable(hasPreciseWait: martlet_has_epoll_pwait2() != 0))
        return unsafe Kernel(table: table, context: nil)
    }()

    private static func makeTable(hasPreciseWait: Bool) -> KernelTable {
        unsafe KernelTable(
            now: { _ in martlet_monotonic() },
            wallClock: { _ in martlet_realtime() },
            fillRandom: { _, bytes, count in unsafe martlet_random(bytes, count) },
            makePoller: { _ in martlet_epoll_create() },
            watch: { _, poller, descriptor, events, token in
                martlet_epoll_add(poller, descriptor, events, token)
            },
            unwatch: { _, poller, descriptor in martlet_epoll_remove(poller, descriptor) },
            wait: hasPreciseWait
                ? { _, poller, events, max, timeout in
                    unsafe martlet_epoll_wait_nanoseconds(poller, events, Int32(clamping: max), timeout)
                }
                : { _, poller, events, max, timeout in
                    unsafe martlet_epoll_wait_milliseconds(poller, events, Int32(clamping: max), timeout)
                },
            listen: { _, address, reusePort, backlog in
                martlet_listen(unsafe bare(address), reusePort ? 1 : 0, backlog)
            },
            localAddress: { _, descriptor, address in
                unsafe filling(address) { address in unsafe martlet_local_address(descriptor, &address) }
            },
            peerAddress: { _, descriptor, address in
                unsafe filling(address) { address in unsafe martlet_peer_address(descriptor, &address) }
            },
            originalDestination: { _, descriptor, address in
                unsafe filling(address) { address in unsafe martlet_original_destination(descriptor, &address)
                }
            },
            accept: { _, descriptor, address in
                unsafe filling(address) { address in unsafe martlet_accept(descriptor, &address) }
            },
            connect: { _, address, source, isPending in
                var pending: Int32 = 0
                let result: Int
                if let source = unsafe source {
                    var bareSource = unsafe bare(source)
                    result = unsafe martlet_connect(bare(address), &bareSource, &pending)
                } else {
                    result = unsafe martlet_connect(bare(address), nil, &pending)
                }
                unsafe isPending.pointee = pending != 0
                return result
            },
            connectResult: { _, descriptor in martlet_socket_error(descriptor) },
            setNoDelay: { _, descriptor, isOn in
                martlet_set_option(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, isOn ? 1 : 0)
            },
            setKeepalive: { _, descriptor, idle, interval, probes in
                martlet_set_keepalive(descriptor, idle, interval, probes)
            },
            receive: { _, descriptor, bytes, count in unsafe martlet_recv(descriptor, bytes, count) },
            peek: { _, descriptor in martlet_peek(descriptor) },
            send: { _, descriptor, bytes, count in unsafe martlet_send(descriptor, bytes, count) },
            sendGathered: { _, descriptor, a, aCount, b, bCount, c, cCount, d, dCount in
                unsafe martlet_send4(descriptor, a, aCount, b, bCount, c, cCount, d, dCount)
            },
            makePipe: { _, ends, capacity in unsafe martlet_pipe(ends, Int32(clamping: capacity)) },
            splice: { _, from, to, count in martlet_splice(from, to, count) },
            shutdownWrite: { _, descriptor in
                martlet_result(Int(Glibc.shutdown(descriptor, Int32(SHUT_WR))))
            },
            close: { _, descriptor in _ = Glibc.close(descriptor) },
            reset: { _, descriptor in martlet_reset(descriptor) },
            makeWaker: { _ in martlet_eventfd() },
            wake: { _, descriptor in martlet_eventfd_write(descriptor) },
            drainWaker: { _, descriptor in martlet_eventfd_read(descriptor) })
    }
}

// Outside of the type, since a C function may not capture even that.

@unsafe private func bare(_ pointer: UnsafeRawPointer) -> martlet_address {
    let address = unsafe pointer.load(as: SocketAddress.self)
    return martlet_address(
        high: address.high, low: address.low, port: address.port,
        is_ipv6: address.family == .ipv6 ? 1 : 0)
}

/// Runs `body` on an address in C's form, and writes it where the caller wants it.
@unsafe private func filling(
    _ pointer: UnsafeMutableRawPointer, _ body: (inout martlet_address) -> Int
) -> Int {
    var address = martlet_address()
    let result = body(&address)
    if result >= 0 {
        unsafe pointer.storeBytes(
            of: SocketAddress(
                family: address.is_ipv6 != 0 ? .ipv6 : .ipv4, high: address.high, low: address.low,
                port: address.port),
            as: SocketAddress.self)
    }
    return result
}
