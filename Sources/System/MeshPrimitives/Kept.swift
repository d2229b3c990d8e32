/// A place that is kept from one event to a later one, when its record may have gone: it is looked at on its way out,
/// and then holds nothing. What a `Place` in hand names stays as long as the event lasts (see `Place.value`).
@propertyWrapper public struct Kept<Record: BitwiseCopyable>: BitwiseCopyable {
    @usableFromInline var place: Place<Record>?

    @inlinable public init() { place = nil }
    @inlinable public init(wrappedValue: Place<Record>?) { place = wrappedValue }

    /// nil too if the record was removed.
    @inlinable public var wrappedValue: Place<Record>? {
        @inline(__always) get {
            guard let place, place.isInUse else { return nil }
            return place
        }
        @inline(__always) set { place = newValue }
    }
}
