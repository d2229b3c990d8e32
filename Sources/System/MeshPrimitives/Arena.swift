import Glibc

/// Plain data of one type in an `Arena`, checked against its bounds. Dead once its arena is.
@safe public struct Table<Element: BitwiseCopyable>: BitwiseCopyable, @unchecked Sendable {
    @usableFromInline let base: UnsafePointer<Element>?
    @usableFromInline let size: UInt32

    @inlinable public init() { unsafe (base, size) = (nil, 0) }

    @unsafe @inlinable init(base: UnsafePointer<Element>?, count: Int) {
        unsafe self.base = base
        size = UInt32(count)
    }

    @inlinable public var count: Int { Int(size) }
    @inlinable public var isEmpty: Bool { size == 0 }
    @inlinable public var indices: Range<Int> { 0..<count }

    @inlinable public subscript(_ index: Int) -> Element {
        unsafeAddress {
            precondition(UInt(bitPattern: index) < UInt(size))
            guard let base = unsafe base else { fatalError("an empty table has no element") }
            return unsafe base + index
        }
    }

    /// One element, to be kept in a record.
    @inlinable public func reference(_ index: Int) -> Reference<Element> {
        precondition(UInt(bitPattern: index) < UInt(size))
        guard let base = unsafe base else { fatalError("an empty table has no element") }
        return unsafe Reference(base + index)
    }
}

/// A value in an `Arena`. Dead once its arena is: whoever keeps one makes sure that the arena lives.
@safe public struct Reference<Value: BitwiseCopyable>: BitwiseCopyable, @unchecked Sendable {
    @usableFromInline let pointer: UnsafePointer<Value>

    @unsafe @inlinable init(_ pointer: UnsafePointer<Value>) { unsafe self.pointer = pointer }

    @inlinable public var value: Value {
        unsafeAddress { unsafe pointer }
    }

    /// Where the value is, for addressors of others.
    @unsafe @inlinable public var address: UnsafePointer<Value> { unsafe pointer }

    @inlinable public static func == (left: Self, right: Self) -> Bool {
        unsafe left.pointer == right.pointer
    }
}

/// Memory for immutable plain data that is made together and dies together, such as a compiled configuration.
@safe public final class Arena: @unchecked Sendable {
    private var blocks: [UnsafeMutableRawPointer] = unsafe []
    private var free = unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0)
    /// Bytes taken from the system.
    public private(set) var size = 0

    public init() {}

    deinit {
        for index in unsafe blocks.indices { unsafe blocks[index].deallocate() }
    }

    public func store<Element: BitwiseCopyable>(_ elements: [Element]) -> Table<Element> {
        guard !elements.isEmpty else { return Table() }
        let bytes = unsafe allocate(
            MemoryLayout<Element>.stride * elements.count, alignment: MemoryLayout<Element>.alignment)
        let base = unsafe bytes.bindMemory(to: Element.self, capacity: elements.count)
        for (index, element) in elements.enumerated() { unsafe (base + index).initialize(to: element) }
        return unsafe Table(base: UnsafePointer(base), count: elements.count)
    }

    public func store<Value: BitwiseCopyable>(value: Value) -> Reference<Value> {
        store([value]).reference(0)
    }

    public func store(text: String) -> ByteView { text.withByteView { store($0) } }

    public func store(bytes: [UInt8]) -> ByteView { bytes.withByteView { store($0) } }

    /// A copy of them.
    private func store(_ bytes: ByteView) -> ByteView {
        if bytes.isEmpty { return ByteView("") }
        let start = unsafe allocate(bytes.count, alignment: 1)
        unsafe memcpy(start, bytes.pointer, bytes.count)
        return unsafe ByteView(UnsafeRawBufferPointer(start: start, count: bytes.count))
    }

    private func allocate(_ count: Int, alignment: Int) -> UnsafeMutableRawPointer {
        let padding = unsafe -Int(bitPattern: free.baseAddress) & (alignment - 1)
        if unsafe free.count < count + padding { addBlock(count) }
        let start = unsafe -Int(bitPattern: free.baseAddress) & (alignment - 1)
        guard let base = unsafe free.baseAddress else { fatalError("an arena's block has an address") }
        unsafe free = UnsafeMutableRawBufferPointer(rebasing: free[(start + count)...])
        return unsafe base + start
    }

    /// Blocks double up to 64 KiB, so that a small configuration is small and a large one is quick.
    private func addBlock(_ count: Int) {
        let capacity = max(count + 16, min(64 << 10, max(1 << 10, size)))
        let block = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
        unsafe blocks.append(block)
        size += capacity
        unsafe free = UnsafeMutableRawBufferPointer(start: block, count: capacity)
    }
}

/// An object that somebody else keeps alive, as plain data; reading it costs no reference count.
@safe public struct Unowned<Object: AnyObject>: BitwiseCopyable, @unchecked Sendable {
    @usableFromInline let object: Unmanaged<Object>

    @inlinable public init(_ object: Object) { unsafe self.object = .passUnretained(object) }

    @inlinable public func with<T>(_ body: (Object) -> T) -> T {
        unsafe object._withUnsafeGuaranteedRef(body)
    }

    @inlinable public var identity: ObjectIdentifier { with { ObjectIdentifier($0) } }
}
