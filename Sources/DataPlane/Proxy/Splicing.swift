import MeshPrimitives
import Reactor

/// Bytes that nobody looks at go from socket to socket through a pipe, by reference: a tunnel that moves much costs less
/// than half of what copying costs. A pipe is lent to a direction while it moves much, so idle tunnels have none.
extension Worker {
    /// A read from which on a tunnel counts as moving much, and how many of them in a row make it one.
    static var largeRead: Int { 32 << 10 }
    private static var largeReadsMin: UInt8 { 2 }
    private static var pipeCapacity: Int { 1 << 20 }
    /// Moves of one connection in one turn.
    private static var splicesPerTurn: Int { 4 }

    /// Moves what there is of a tunnel's bytes; false if they have to be read.
    mutating func spliceTunnel(_ connection: ConnectionPlace) -> Bool {
        guard connection.value.largeReads >= Self.largeReadsMin, let other = connection.value.tunnelPeer,
            other.isInUse, other.value.phase == .open, other.value.codec == .tunnel, other.value.tls == nil,
            other.value.pending.isEmpty, !other.value.writeFailed, connection.value.remainder.isEmpty
        else { return false }
        guard let pipe = pipe(of: other) else {
            connection.value.largeReads = 0
            return false
        }
        for _ in 0..<Self.splicesPerTurn {
            let descriptor = connection.value.descriptor
            // The pipe is empty here, so that nothing but the socket can make this wait.
            let result = kernel.splice(descriptor, into: pipe, max: pipe.capacity)
            guard case .bytes(let count) = result else {
                if result == .wouldBlock {
                    connection.value.largeReads = 0
                    dropPipe(other)
                }
                _ = noteRead(connection, result, room: 0)
                return true
            }
            other.value.piped = Int32(count)
            tunnelMoved(connection, other, count)
            guard other.value.canWrite, writePiped(other) else {
                connection.value.isPaused = true
                return true
            }
        }
        return true
    }

    /// Moves what is in the pipe into the socket; false if some is left, or the connection is gone.
    mutating func writePiped(_ connection: ConnectionPlace) -> Bool {
        guard connection.value.pipe >= 0 else { return true }
        let pipe = pipes[Int(connection.value.pipe)]
        while connection.value.piped > 0 {
            let left = Int(connection.value.piped)
            switch kernel.splice(pipe, into: connection.value.descriptor, count: left) {
            case .bytes(let count):
                connection.value.piped -= Int32(count)
                if connection.value.phase == .closing { connection.value.lastUsed = now }
            case .wouldBlock:
                connection.value.canWrite = false
                return false
            case .closed, .failed:
                writingFailed(connection)
                return false
            }
        }
        return true
    }

    /// The pipe that the connection's bytes wait in, a new one if it has none; nil if there is none to be had.
    private mutating func pipe(of connection: ConnectionPlace) -> Pipe? {
        if connection.value.pipe < 0 {
            connection.value.pipe = pipes.take(kernel, capacity: Self.pipeCapacity)
        }
        return connection.value.pipe < 0 ? nil : pipes[Int(connection.value.pipe)]
    }

    /// Nothing more goes through it: the direction moves little now, or the connection has ended.
    mutating func dropPipe(_ connection: ConnectionPlace) {
        guard connection.value.pipe >= 0 else { return }
        pipes.giveBack(Int(connection.value.pipe), isEmpty: connection.value.piped == 0, kernel)
        connection.value.pipe = -1
        connection.value.piped = 0
    }
}

/// The pipes of one worker. Made when they are needed, and a few kept, empty, for the next who needs one.
struct PipePool: ~Copyable {
    /// Above it bytes are copied, as if there were no pipes.
    private static var countMax: Int { 64 }
    private static var keptMax: Int { 8 }

    private var pipes: [Pipe?] = []
    /// Indices of those that nobody uses: with a pipe, and without one.
    private var kept: [Int32] = []
    private var vacant: [Int32] = []

    subscript(_ index: Int) -> Pipe {
        guard let pipe = pipes[index] else { preconditionFailure("a pipe is used by whom it was lent to") }
        return pipe
    }

    /// The index of a free pipe, -1 if there is none.
    mutating func take(_ kernel: Kernel, capacity: Int) -> Int32 {
        if let index = kept.popLast() { return index }
        guard pipes.count - vacant.count < Self.countMax,
            let pipe = try? kernel.makePipe(capacity: capacity)
        else { return -1 }
        guard let index = vacant.popLast() else {
            pipes.append(pipe)
            return Int32(pipes.count - 1)
        }
        pipes[Int(index)] = pipe
        return index
    }

    mutating func giveBack(_ index: Int, isEmpty: Bool, _ kernel: Kernel) {
        if isEmpty, kept.count < Self.keptMax { return kept.append(Int32(index)) }
        // What is in it can only be thrown away with it.
        kernel.close(self[index])
        pipes[index] = nil
        vacant.append(Int32(index))
    }

    mutating func closeKept(_ kernel: Kernel) {
        for index in kept { kernel.close(self[Int(index)]) }
        kept.removeAll()
    }
}
