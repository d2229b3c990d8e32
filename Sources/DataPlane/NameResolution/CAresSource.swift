import CCAres
import Glibc
import MeshModel
import MeshPrimitives
import Reactor
import XDSClient

/// Looks names up with c-ares: its sockets are watched by the loop, its time-outs are timers of the loop. Names of
/// /etc/hosts are found first.
public final class CAresSource: NameSource {
    private let loop: ControlLoop
    private var channels: [NameLookup.Resolver: CAresChannel] = [:]
    private static let isLibraryReady = ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS

    public init(loop: ControlLoop) { self.loop = loop }

    public func lookUp(
        _ name: String, _ family: NameLookup.Family, by resolver: NameLookup.Resolver,
        _ completion: @escaping (Result<NameAnswer, LookupFailure>) -> Void
    ) {
        let families: [Int32] =
            switch family {
            case .auto: [AF_INET6, AF_INET]
            case .v4Preferred: [AF_INET, AF_INET6]
            case .v4Only: [AF_INET]
            case .v6Only: [AF_INET6]
            case .all: [AF_UNSPEC]
            }
        ask(name, families[...], resolver, completion)
    }

    /// The first family that has addresses.
    private func ask(
        _ name: String, _ families: ArraySlice<Int32>, _ resolver: NameLookup.Resolver,
        _ completion: @escaping (Result<NameAnswer, LookupFailure>) -> Void
    ) {
        guard let family = families.first, let channel = channel(resolver) else {
            return loop.atEndOfTurn { completion(.failure(LookupFailure("c-ares cannot be started"))) }
        }
        channel.lookUp(name, family) { [weak self] answer in
            let isEmpty = if case .success(let found) = answer { found.addresses.isEmpty } else { true }
            guard let self, isEmpty, families.count > 1 else { return completion(answer) }
            self.ask(name, families.dropFirst(), resolver) { second in
                // An answer that there is nothing is one, if the other family failed.
                if case .failure = second, case .success = answer { return completion(answer) }
                completion(second)
            }
        }
    }

    public func retain(_ resolvers: Set<NameLookup.Resolver>) {
        channels = channels.filter { resolvers.contains($0.key) }
    }

    private func channel(_ resolver: NameLookup.Resolver) -> CAresChannel? {
        if let known = channels[resolver], !known.wantsRestart { return known }
        guard Self.isLibraryReady, let made = CAresChannel(loop: loop, resolver) else { return nil }
        channels[resolver] = made
        return made
    }
}

/// One configuration of c-ares, with its sockets.
@safe final class CAresChannel {
    private typealias Completion = (Result<NameAnswer, LookupFailure>) -> Void

    /// What c-ares keeps of one lookup.
    private final class Question {
        let channel: CAresChannel
        let completion: Completion

        init(_ channel: CAresChannel, _ completion: @escaping Completion) {
            (self.channel, self.completion) = (channel, completion)
        }
    }

    private let loop: ControlLoop
    private var channel: ares_channel?
    private var sockets: [Int32: ControlLoop.Registration] = [:]
    private var timer: ControlLoop.Timer?
    private var open = 0
    private var isBad = false

    init?(loop: ControlLoop, _ resolver: NameLookup.Resolver) {
        self.loop = loop
        var options = unsafe ares_options()
        var flags: Int32 = 0
        if resolver.usesTCP { flags |= ARES_FLAG_USEVC }
        if !resolver.searchesDomains { flags |= ARES_FLAG_NOSEARCH }
        unsafe options.flags = flags
        unsafe options.timeout = Int32(
            clamping: resolver.queryTimeout.nanoseconds / 1_000_000)
        unsafe options.tries = Int32(clamping: resolver.tries)
        unsafe options.sock_state_cb = { context, socket, readable, writable in
            guard let context = unsafe context else { return }
            unsafe Unmanaged<CAresChannel>.fromOpaque(context).takeUnretainedValue().socketChanged(
                socket, isUsed: readable != 0 || writable != 0)
        }
        unsafe options.sock_state_cb_data = Unmanaged.passUnretained(self).toOpaque()
        let mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB
        guard unsafe ares_init_options(&channel, &options, Int32(mask)) == ARES_SUCCESS else { return nil }
        guard !resolver.servers.isEmpty else { return }
        let servers = resolver.servers.map(\.description).joined(separator: ",")
        guard unsafe ares_set_servers_ports_csv(channel, servers) == ARES_SUCCESS else {
            unsafe ares_destroy(channel)
            unsafe channel = nil
            return nil
        }
    }

    deinit {
        // Questions keep it alive, so none is open.
        if let timer { loop.cancel(timer) }
        if let channel = unsafe channel { unsafe ares_destroy(channel) }
        for registration in sockets.values { loop.cancel(registration) }
    }

    /// No server could be reached: there may be others by now in /etc/resolv.conf.
    var wantsRestart: Bool { isBad && open == 0 }

    func lookUp(
        _ name: String, _ family: Int32, _ completion: @escaping (Result<NameAnswer, LookupFailure>) -> Void
    ) {
        var hints = ares_addrinfo_hints()
        hints.ai_family = family
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = Int32(ARES_AI_NOSORT)
        open += 1
        let question = unsafe Unmanaged.passRetained(Question(self, completion)).toOpaque()
        unsafe ares_getaddrinfo(
            channel, name, nil, &hints,
            { context, status, _, list in
                guard let context = unsafe context else { return }
                let question = unsafe Unmanaged<Question>.fromOpaque(context).takeRetainedValue()
                let answer = unsafe CAresChannel.answer(status, list)
                if let list = unsafe list { unsafe ares_freeaddrinfo(list) }
                question.channel.ended(status, answer, question.completion)
            }, question)
        arm()
    }

    private func ended(
        _ status: Int32, _ answer: Result<NameAnswer, LookupFailure>, _ completion: @escaping Completion
    ) {
        open -= 1
        if case .failure = answer { isBad = true } else { isBad = false }
        // c-ares may be in the midst of its own work; this also keeps the channel until that is over.
        loop.atEndOfTurn { [self] in
            completion(answer)
            arm()
        }
    }

    private static func answer(
        _ status: Int32, _ list: UnsafeMutablePointer<ares_addrinfo>?
    ) -> Result<NameAnswer, LookupFailure> {
        if status == ARES_ENODATA || status == ARES_ENOTFOUND {
            return .success(NameAnswer(addresses: [], ttl: 0))
        }
        guard status == ARES_SUCCESS, let list = unsafe list else {
            let text = unsafe ares_strerror(status).map { unsafe String(cString: $0) } ?? "error \(status)"
            return .failure(LookupFailure(text))
        }
        var answer = NameAnswer(addresses: [], ttl: .max)
        var next = unsafe list.pointee.nodes
        while let node = unsafe next {
            if let address = unsafe SocketAddress(
                sockaddr: UnsafeRawPointer(node.pointee.ai_addr), family: node.pointee.ai_family),
                !answer.addresses.contains(address),
                answer.addresses.count < NameAnswer.addressesMax
            {
                answer.addresses.append(address)
                answer.ttl = unsafe min(answer.ttl, UInt32(clamping: node.pointee.ai_ttl))
            }
            unsafe next = node.pointee.ai_next
        }
        if answer.ttl == .max { answer.ttl = 0 }
        return .success(answer)
    }

    // MARK: Sockets and time

    private func socketChanged(_ socket: Int32, isUsed: Bool) {
        if !isUsed {
            if let registration = sockets.removeValue(forKey: socket) { loop.cancel(registration) }
            return
        }
        guard sockets[socket] == nil else { return }
        // A socket that cannot be watched ends by its time-out.
        sockets[socket] = try? loop.register(Descriptor(rawValue: socket)) { [weak self] readiness in
            self?.ready(socket, readiness)
        }
    }

    private func ready(_ socket: Int32, _ readiness: Readiness) {
        let isReadable = !readiness.isDisjoint(with: [.readable, .endOfStream])
        let none = ARES_SOCKET_BAD
        // The loop tells edges, and c-ares may read less than there is.
        for _ in 0..<64 {
            unsafe ares_process_fd(
                channel, isReadable ? socket : none, readiness.contains(.writable) ? socket : none)
            guard isReadable, sockets[socket] != nil else { break }
            var state = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            if unsafe poll(&state, 1, 0) <= 0 { break }
        }
        arm()
    }

    private func arm() {
        if let timer { loop.cancel(timer) }
        timer = nil
        guard open > 0 else { return }
        var wait = timeval()
        guard unsafe ares_timeout(channel, nil, &wait) != nil else { return }
        let nanoseconds = Int64(wait.tv_sec) * 1_000_000_000 + Int64(wait.tv_usec) * 1000
        timer = loop.after(max(nanoseconds, 1_000_000)) { [weak self] in
            guard let self else { return }
            self.timer = nil
            unsafe ares_process_fd(self.channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD)
            self.arm()
        }
    }
}
