import Glibc
import MeshPrimitives
import Reactor

struct OriginOptions {
    static let usage = """
        usage: martlet-load origin [options]
          --listen HOST:PORT   where to listen (127.0.0.1:0)
          --bytes N            a size of answer, asked for as /N; may be repeated, and the first one answers all other paths (64)
          --ports-file PATH    gets the bound address, as `http: HOST:PORT`
        """

    var listen = SocketAddress(ipv4: 127, 0, 0, 1, port: 0)
    var sizes: [Int] = []
    var portsFile: String?
    var helpWanted = false

    init(_ arguments: inout ArgumentList) throws(LoadError) {
        while let flag = arguments.next() {
            switch flag {
            case "--help": helpWanted = true
            case "--listen": listen = try arguments.address(of: flag)
            case "--bytes": sizes.append(try arguments.number(of: flag, in: 0...(64 << 20)))
            case "--ports-file": portsFile = try arguments.value(of: flag)
            default: throw LoadError(usage: "\(flag): unknown; see martlet-load origin --help")
            }
        }
        if sizes.isEmpty { sizes = [64] }
    }
}

/// A server that answers as fast as it can: it looks for the end of a head, for Content-Length, and at the path. An
/// answer goes out when the request's body is over.
struct Origin: ~Copyable {
    static let connectionsMax = 60_000
    static let headMax = BufferPool.sizes.large

    struct Connection: BitwiseCopyable {
        let descriptor: Descriptor
        /// An unfinished head.
        var remainder = PooledBuffer.none
        /// Bytes of a request's body that are still to come.
        var bodyLeft = 0
        /// The answer that is on its way, and how much of it has gone.
        var answer = 0
        var sent = 0
        var isAnswering = false
        var isOver = false
    }

    private struct Answer {
        let path: [UInt8]
        let bytes: [UInt8]
    }

    private let kernel: Kernel
    private var loop: EventLoop
    private let listener: Descriptor
    private let answers: [Answer]
    private var pool = BufferPool()
    private var input: PooledBuffer
    private var connections = Slab<Connection>(capacity: Self.connectionsMax)

    private init(kernel: Kernel, loop: consuming EventLoop, listener: Descriptor, sizes: [Int]) {
        self.kernel = kernel
        self.loop = loop
        self.listener = listener
        answers = sizes.map { size in
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: \(size)\r\n\r\n"
            return Answer(
                path: Array("/\(size)".utf8), bytes: Array(head.utf8) + [UInt8](repeating: 0x78, count: size))
        }
        input = pool.take(BufferPool.sizes.huge)
    }

    static func make(_ options: OriginOptions) throws(LoadError) -> Origin {
        do throws(SystemErrno) {
            let kernel = LinuxKernel.make()
            let loop = try EventLoop(kernel: kernel)
            let listener = try kernel.listen(options.listen, reusePort: false)
            try loop.watchReadable(listener, Token(rawValue: .max - 1))
            let address = try kernel.localAddress(listener)
            MartletLoad.write("origin at \(address)\n", to: STDERR_FILENO)
            if let path = options.portsFile { try writeFile("http: \(address)\n", to: path) }
            return Origin(kernel: kernel, loop: loop, listener: listener, sizes: options.sizes)
        } catch {
            throw LoadError("listen at \(options.listen)", error)
        }
    }

    /// A reader never sees half of the file.
    private static func writeFile(_ text: String, to path: String) throws(SystemErrno) {
        let temporary = path + ".new"
        let file = unsafe open(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        guard file >= 0 else { throw SystemErrno(code: errno) }
        MartletLoad.write(text, to: file)
        guard Glibc.close(file) == 0, unsafe rename(temporary, path) == 0 else {
            throw SystemErrno(code: errno)
        }
    }

    /// Until the process is ended.
    mutating func run() {
        while true {
            let count = loop.wait(until: nil)
            for index in 0..<count {
                let event = loop.event(at: index)
                if event.token.rawValue == .max - 1 { acceptAll() } else { handle(event) }
            }
        }
    }

    private mutating func acceptAll() {
        while case .accepted(let descriptor, _) = kernel.accept(listener) {
            guard let id = connections.insert(Connection(descriptor: descriptor)) else {
                kernel.close(descriptor)
                continue
            }
            do throws(SystemErrno) {
                try loop.watch(descriptor, Token(rawValue: UInt64(id.index) << 32 | UInt64(id.generation)))
            } catch {
                close(id)
            }
        }
    }

    private mutating func close(_ id: SlabID) {
        kernel.close(connections[id].descriptor)
        pool.give(&connections[id].remainder)
        connections.remove(id)
    }

    private mutating func handle(_ event: ReadyEvent) {
        let raw = event.token.rawValue
        let id = SlabID(index: UInt32(raw >> 32), generation: UInt32(truncatingIfNeeded: raw))
        guard connections.contains(id) else { return }
        if !event.readiness.isDisjoint(with: .endOfStream) { connections[id].isOver = true }
        if connections[id].isAnswering {
            // What came meanwhile is read once the answer is out.
            guard event.readiness.contains(.writable), send(id) else { return }
        }
        receive(id)
    }

    private mutating func receive(_ id: SlabID) {
        while true {
            input.removeAll()
            switch kernel.receive(connections[id].descriptor, into: &input) {
            case .bytes(let count):
                guard take(id) else { return }
                if count < BufferPool.sizes.huge && !connections[id].isOver { return }
            case .wouldBlock: return
            case .closed, .failed: return close(id)
            }
        }
    }

    /// Answers the requests in what came; false when no more can be read now (or ever).
    private mutating func take(_ id: SlabID) -> Bool {
        if connections[id].remainder.isAllocated {
            let whole = connections[id].remainder.count + input.count
            guard whole <= BufferPool.sizes.huge else {
                close(id)
                return false
            }
            pool.grow(&connections[id].remainder, to: whole)
            guard connections[id].remainder.append(input.view) else { preconditionFailure("room was made") }
            swap(&input, &connections[id].remainder)
            if input.capacity < BufferPool.sizes.huge { pool.grow(&input, to: BufferPool.sizes.huge) }
            pool.give(&connections[id].remainder)
        }
        while !input.isEmpty {
            if connections[id].bodyLeft == 0 {
                guard let end = Self.endOfHead(input.view) else { return keepRest(of: id) }
                readHead(input.view.prefix(end), id)
                input.consume(end)
            }
            let skipped = min(connections[id].bodyLeft, input.count)
            connections[id].bodyLeft -= skipped
            input.consume(skipped)
            if connections[id].bodyLeft > 0 { break }
            connections[id].isAnswering = true
            guard send(id) else { return connections.contains(id) && keepRest(of: id) && false }
        }
        return true
    }

    private mutating func keepRest(of id: SlabID) -> Bool {
        guard input.count <= Self.headMax else {
            close(id)
            return false
        }
        if input.isEmpty { return true }
        connections[id].remainder = pool.take(max(input.count, BufferPool.sizes.small))
        return connections[id].remainder.append(input.view)
    }

    private static func endOfHead(_ bytes: ByteView) -> Int? {
        var from = 0
        while let line = bytes.firstIndex(of: 0x0a, from: from) {
            if line + 2 < bytes.count, bytes[line + 1] == 0x0d, bytes[line + 2] == 0x0a { return line + 3 }
            from = line + 1
        }
        return nil
    }

    private mutating func readHead(_ head: ByteView, _ id: SlabID) {
        let space = head.firstIndex(of: 0x20) ?? 0
        let rest = head.dropFirst(space + 1)
        let path = rest.prefix(rest.firstIndex(of: 0x20) ?? 0)
        connections[id].answer = answers.firstIndex { $0.path.withByteView { $0.equals(path) } } ?? 0
        connections[id].sent = 0
        var from = 0
        while let end = head.firstIndex(of: 0x0a, from: from) {
            let line = head[from..<end]
            if line.count > 15, line[14] == 0x3a, line.prefix(14).equalsIgnoringCase("content-length") {
                connections[id].bodyLeft = line.dropFirst(15).prefix(line.count - 16).trimmed.decimal ?? 0
            }
            from = end + 1
        }
    }

    /// True when the whole answer is out.
    private mutating func send(_ id: SlabID) -> Bool {
        let bytes = answers[connections[id].answer].bytes
        while connections[id].sent < bytes.count {
            let (descriptor, sent, kernel) = (connections[id].descriptor, connections[id].sent, kernel)
            switch bytes.withByteView({ kernel.send(descriptor, $0.dropFirst(sent)) }) {
            case .bytes(let count): connections[id].sent += count
            case .wouldBlock: return false
            case .closed, .failed:
                close(id)
                return false
            }
        }
        connections[id].isAnswering = false
        return true
    }
}
