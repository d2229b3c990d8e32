import MeshPrimitives
import Testing

@Suite struct PlaceTests {
    /// Its last bytes are free for what a slab keeps behind a record.
    struct Padded: BitwiseCopyable, Equatable {
        var number: UInt64
        var flag: Bool
    }

    @Test("A place finds its record until that is removed, and its successor is another one")
    func staleness() {
        var slab = Slab<Padded>(capacity: 4)
        guard let place = slab.insertPlace(Padded(number: 1, flag: false)) else {
            Issue.record("no place")
            return
        }
        place.value.number = 7
        let found = slab[place.id]
        #expect(found == Padded(number: 7, flag: false) && place.isInUse)
        let again = slab.place(place.id)
        #expect(again == place)
        slab.remove(place)
        #expect(!place.isInUse)
        let successor = slab.insertPlace(Padded(number: 2, flag: true))
        #expect(successor?.isInUse == true && successor != place && !place.isInUse)
    }

    @Test("A blank is copied to each new place, whatever its last user left there")
    func blanks() {
        var slab = Slab<Padded>(capacity: 2)
        let none = slab.insertBlank()
        #expect(none == nil)
        slab.setBlank(Padded(number: 5, flag: true))
        for _ in 0..<3 {
            guard let place = slab.insertBlank() else {
                Issue.record("no place")
                return
            }
            #expect(place.isInUse && place.value == Padded(number: 5, flag: true))
            place.value = Padded(number: 9, flag: false)
            slab.remove(place)
        }
    }

    @Test("A walk meets the places in use")
    func walk() {
        var slab = Slab<Padded>(capacity: 100)
        let places = (0..<70).compactMap { slab.insertPlace(Padded(number: $0, flag: false)) }
        slab.remove(places[3])
        var sum: UInt64 = 0
        for index in 0..<slab.indexEnd { sum += slab.place(at: index)?.value.number ?? 0 }
        #expect(sum == (0..<70).reduce(0, +) - 3)
    }
}
