/// Plain data in order, for lists that are filled and emptied over and over: appending looks at the room and at nothing
/// else, where an array must make sure each time that nobody shares its memory. Bounded by whoever appends.
@safe public struct PlainList<Element: BitwiseCopyable>: ~Copyable {
    @usableFromInline var base: UnsafeMutablePointer<Element>
    @usableFromInline var capacity: Int
    @usableFromInline var used = 0

    public init(minimumCapacity: Int = 16) {
        precondition(minimumCapacity > 0)
        capacity = minimumCapacity
        unsafe base = .allocate(capacity: minimumCapacity)
    }

    deinit { unsafe base.deallocate() }

    @inlinable public var count: Int { used }
    @inlinable public var isEmpty: Bool { used == 0 }
    @inlinable public var indices: Range<Int> { 0..<used }

    @inlinable public subscript(_ index: Int) -> Element {
        unsafeAddress {
            precondition(UInt(bitPattern: index) < UInt(bitPattern: used))
            return unsafe UnsafePointer(base + index)
        }
        unsafeMutableAddress {
            precondition(UInt(bitPattern: index) < UInt(bitPattern: used))
            return unsafe base + index
        }
    }

    @inlinable public mutating func append(_ element: Element) {
        if used == capacity { grow() }
        unsafe (base + used).initialize(to: element)
        used &+= 1
    }

    @inlinable public mutating func popLast() -> Element? {
        if used == 0 { return nil }
        used &-= 1
        return unsafe base[used]
    }

    @inlinable public mutating func removeAll() { used = 0 }

    /// Those that stay keep their order.
    public mutating func removeAll(where isUnwanted: (Element) -> Bool) {
        var kept = 0
        for index in 0..<used where unsafe !isUnwanted(base[index]) {
            unsafe base[kept] = base[index]
            kept += 1
        }
        used = kept
    }

    @usableFromInline mutating func grow() {
        let larger = UnsafeMutablePointer<Element>.allocate(capacity: capacity * 2)
        unsafe larger.update(from: base, count: used)
        unsafe base.deallocate()
        unsafe base = larger
        capacity *= 2
    }
}
