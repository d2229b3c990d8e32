/// Elements in order that have one owner: they are changed in place, without the question that an array asks first,
/// whether anybody shares its memory. Grows by doubling, never shrinks.
@safe public struct OwnedList<Element: ~Copyable>: ~Copyable {
    @usableFromInline var base: UnsafeMutablePointer<Element>?
    /// Of 32 bits, since there are lists by the thousand.
    @usableFromInline var capacity: UInt32 = 0
    @usableFromInline var used: UInt32 = 0

    public init() {}

    deinit {
        if let base = unsafe base {
            unsafe base.deinitialize(count: Int(used))
            unsafe base.deallocate()
        }
    }

    @inlinable public var count: Int { Int(used) }
    @inlinable public var isEmpty: Bool { used == 0 }
    @inlinable public var indices: Range<Int> { 0..<count }

    @inlinable public subscript(_ index: Int) -> Element {
        unsafeAddress { unsafe UnsafePointer(address(index)) }
        unsafeMutableAddress { unsafe address(index) }
    }

    @inlinable @inline(__always) func address(_ index: Int) -> UnsafeMutablePointer<Element> {
        precondition(UInt(bitPattern: index) < UInt(used))
        guard let base = unsafe base else { fatalError("an empty list has no element") }
        return unsafe base + index
    }

    public mutating func append(_ element: consuming Element) {
        if used == capacity { grow() }
        guard let base = unsafe base else { fatalError("a list that has grown has memory") }
        unsafe (base + count).initialize(to: element)
        used += 1
    }

    public func firstIndex(where isWanted: (borrowing Element) -> Bool) -> Int? {
        for index in 0..<count where isWanted(self[index]) { return index }
        return nil
    }

    public func contains(where isWanted: (borrowing Element) -> Bool) -> Bool {
        firstIndex(where: isWanted) != nil
    }

    /// Room for so many without growing in between.
    public mutating func reserve(_ count: Int) {
        if count > Int(capacity) { grow(to: count) }
    }

    private mutating func grow() { grow(to: max(Int(capacity) * 2, 1)) }

    private mutating func grow(to room: Int) {
        let larger = UnsafeMutablePointer<Element>.allocate(capacity: room)
        if let base = unsafe base {
            unsafe larger.moveInitialize(from: base, count: count)
            unsafe base.deallocate()
        }
        unsafe base = larger
        capacity = UInt32(room)
    }
}
