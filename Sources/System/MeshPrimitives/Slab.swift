import Glibc

/// Names a record of a `Slab`: an index, and the generation in which it was given out. A stale name finds nothing.
public struct SlabID: Hashable, Sendable, BitwiseCopyable {
    public let index: UInt32
    public let generation: UInt32

    @inlinable public init(index: UInt32, generation: UInt32) {
        (self.index, self.generation) = (index, generation)
    }

    /// Names no record.
    @inlinable public static var none: SlabID { SlabID(index: .max, generation: 0) }
    @inlinable public var isNone: Bool { index == .max }
}

/// Records of plain data that never move, addressed by index and generation. Grows by whole pages of records and
/// never shrinks; a removed record's place is the next one that is given out.
@safe public struct Slab<Record: BitwiseCopyable>: ~Copyable {
    @usableFromInline struct Entry {
        @usableFromInline var record: Record
        /// Odd while the place is in use.
        @usableFromInline var generation: UInt32
        /// The next free place while this one is free, its own index while it is in use.
        @usableFromInline var link: UInt32
    }

    @inlinable static var pageBits: UInt32 { 6 }
    @inlinable static var pageSize: Int { 1 << Int(pageBits) }

    @usableFromInline var pages: UnsafeMutablePointer<UnsafeMutablePointer<Entry>>
    @usableFromInline let pagesMax: Int
    @usableFromInline var pageCount = 0
    @usableFromInline var firstFree = UInt32.max
    @usableFromInline var lent = 0
    /// Places given out.
    @inlinable public var count: Int { lent }
    /// The most places that can be given out.
    public let capacity: Int

    /// What new places hold before their first use (see `takePlace`), and what `insertBlank` copies; by its address, so that
    /// it goes straight from there to its place.
    @usableFromInline var blank: UnsafeMutablePointer<Record>?

    public init(capacity: Int) { self.init(capacity: capacity, filling: nil) }

    /// For records that are too large to be written anew each time: see `takePlace`.
    public init(capacity: Int, filledWith record: Record) { self.init(capacity: capacity, filling: record) }

    private init(capacity: Int, filling: Record?) {
        precondition(capacity > 0 && capacity < Int(UInt32.max) - Self.pageSize)
        self.capacity = capacity
        pagesMax = (capacity + Self.pageSize - 1) / Self.pageSize
        unsafe pages = .allocate(capacity: pagesMax)
        if let filling { setBlank(filling) }
    }

    /// What `insertBlank` copies from now on.
    public mutating func setBlank(_ record: Record) {
        let memory = unsafe blank ?? .allocate(capacity: 1)
        unsafe memory.initialize(to: record)
        unsafe blank = memory
    }

    /// `setBlank` was called.
    @inlinable public var hasBlank: Bool { unsafe blank != nil }

    deinit {
        for index in 0..<pageCount { unsafe pages[index].deallocate() }
        unsafe pages.deallocate()
        unsafe blank?.deallocate()
    }

    /// nil when `capacity` places are in use.
    @inlinable public mutating func insert(_ record: Record) -> SlabID? {
        guard lent < capacity else { return nil }
        if firstFree == .max { addPage() }
        let index = firstFree
        let entry = unsafe entry(index)
        unsafe firstFree = entry.pointee.link
        unsafe entry.pointee.link = index
        unsafe entry.pointee.generation &+= 1
        unsafe entry.pointee.record = record
        lent += 1
        return unsafe SlabID(index: index, generation: entry.pointee.generation)
    }

    /// A place whose record is as its last user left it, or as the slab was filled. nil when all are in use.
    @inlinable public mutating func takePlace() -> Place<Record>? {
        precondition(hasBlank, "only a filled slab has something in every place")
        guard lent < capacity else { return nil }
        if firstFree == .max { addPage() }
        let index = firstFree
        let entry = unsafe entry(index)
        unsafe firstFree = entry.pointee.link
        unsafe entry.pointee.link = index
        unsafe entry.pointee.generation &+= 1
        lent &+= 1
        return unsafe Place(entry, generation: entry.pointee.generation)
    }

    /// Like `takePlace`.
    @inlinable public mutating func take() -> SlabID? { takePlace()?.id }

    @inlinable public mutating func remove(_ id: SlabID) {
        precondition(contains(id))
        let entry = unsafe entry(id.index)
        unsafe entry.pointee.generation &+= 1
        unsafe entry.pointee.link = firstFree
        firstFree = id.index
        lent -= 1
    }

    @inlinable public func contains(_ id: SlabID) -> Bool {
        guard Int(id.index >> Self.pageBits) < pageCount else { return false }
        return unsafe entry(id.index).pointee.generation == id.generation && id.generation & 1 == 1
    }

    /// The record in place; a stale name is a mistake of ours and stops the process.
    @inlinable public subscript(_ id: SlabID) -> Record {
        unsafeAddress {
            precondition(contains(id))
            return unsafe UnsafePointer(pointer(to: id.index))
        }
        unsafeMutableAddress {
            precondition(contains(id))
            return unsafe pointer(to: id.index)
        }
    }

    /// The record by its address, which is quicker to use over and over than its name. nil for a stale name.
    @inlinable public func place(_ id: SlabID) -> Place<Record>? {
        contains(id) ? unsafe Place(entry(id.index), generation: id.generation) : nil
    }

    /// Like `insert`.
    @inlinable public mutating func insertPlace(_ record: Record) -> Place<Record>? {
        insert(record).flatMap { place($0) }
    }

    /// A place with a copy of what `setBlank` was given: quicker than making a large record anew.
    @inlinable public mutating func insertBlank() -> Place<Record>? {
        guard let blank = unsafe blank, let place = takePlace() else { return nil }
        // As one value: copied by the stride, what a record's last bytes leave free for the generation would go too.
        unsafe place.address.pointee = blank.pointee
        return place
    }

    @inlinable public mutating func remove(_ place: Place<Record>) {
        precondition(place.isInUse)
        let index = unsafe place.entry.pointee.link
        unsafe place.entry.pointee.generation &+= 1
        unsafe place.entry.pointee.link = firstFree
        firstFree = index
        lent &-= 1
    }

    /// The record in use at `index`, for walks over all of them.
    @inlinable public func place(at index: Int) -> Place<Record>? { id(at: index).flatMap { place($0) } }

    /// The name of the record in use at `index`.
    @inlinable public func id(at index: Int) -> SlabID? {
        guard index >= 0, index >> Int(Self.pageBits) < pageCount else { return nil }
        let generation = unsafe entry(UInt32(index)).pointee.generation
        return generation & 1 == 1 ? SlabID(index: UInt32(index), generation: generation) : nil
    }

    /// Every index in use is below this.
    @inlinable public var indexEnd: Int { pageCount << Int(Self.pageBits) }

    @inlinable func entry(_ index: UInt32) -> UnsafeMutablePointer<Entry> {
        unsafe pages[Int(index >> Self.pageBits)] + Int(index & UInt32(Self.pageSize - 1))
    }

    @inlinable func pointer(to index: UInt32) -> UnsafeMutablePointer<Record> {
        // `record` is the entry's first field, so both have one address.
        unsafe UnsafeMutableRawPointer(entry(index)).assumingMemoryBound(to: Record.self)
    }

    @usableFromInline mutating func addPage() {
        precondition(pageCount < pagesMax)
        let page = UnsafeMutablePointer<Entry>.allocate(capacity: Self.pageSize)
        let start = UInt32(pageCount << Int(Self.pageBits))
        for offset in (0..<UInt32(Self.pageSize)).reversed() {
            let entry = unsafe page + Int(offset)
            if let blank = unsafe blank { unsafe entry.pointee.record = blank.pointee }
            unsafe entry.pointee.generation = 0
            unsafe entry.pointee.link = firstFree
            firstFree = start + offset
        }
        unsafe pages[pageCount] = page
        pageCount += 1
    }
}

/// Names a record as `SlabID` does, by its address: no look-up, and no comparison of generations for each field that is
/// read. The record never moves, and its memory lasts as long as the slab; so must whoever keeps this. Whoever keeps one
/// for longer than its record is sure to be there keeps it as `Kept`.
@safe public struct Place<Record: BitwiseCopyable>: BitwiseCopyable {
    @usableFromInline let entry: UnsafeMutablePointer<Slab<Record>.Entry>
    @usableFromInline let generation: UInt32

    @inlinable init(_ entry: UnsafeMutablePointer<Slab<Record>.Entry>, generation: UInt32) {
        unsafe self.entry = entry
        self.generation = generation
    }

    /// Nobody has removed the record.
    @inlinable public var isInUse: Bool { unsafe entry.pointee.generation == generation }

    /// The record in place. A stale name is a mistake of ours, which debug builds stop at; others would see what has the
    /// place now.
    @inlinable public var value: Record {
        @inline(__always) unsafeAddress { unsafe UnsafePointer(address) }
        @inline(__always) nonmutating unsafeMutableAddress { unsafe address }
    }

    /// Where the record is, for addressors of others.
    @unsafe @inlinable public var address: UnsafeMutablePointer<Record> {
        assert(isInUse)
        // `record` is the entry's first field, so both have one address.
        return unsafe UnsafeMutableRawPointer(entry).assumingMemoryBound(to: Record.self)
    }

    @inlinable public var id: SlabID {
        precondition(isInUse)
        return unsafe SlabID(index: entry.pointee.link, generation: generation)
    }
}

extension Place: Equatable {
    @inlinable public static func == (left: Self, right: Self) -> Bool {
        unsafe left.entry == right.entry && left.generation == right.generation
    }
}
