import Dispatch
import MeshPrimitives
import Synchronization
import Telemetry
import Testing
import TrafficPolicy

@Suite struct FlightRecorderTests {
    private func record(_ number: UInt64) -> ExchangeRecord {
        var record = ExchangeRecord()
        record.connectionID = number
        record.bytesSent = number &* 3
        record.requestID = RequestID(high: number, low: ~number)
        record.attemptStarted(
            at: Int64(number), endpoint: SocketAddress(ipv4: 1, 2, 3, 4, port: 5), cause: .reset)
        record.attemptEnded(at: Int64(number) + 7, .answered, status: 200)
        return record
    }

    private func isWhole(_ record: ExchangeRecord) -> Bool {
        let number = record.connectionID
        return record.bytesSent == number &* 3 && record.requestID == RequestID(high: number, low: ~number)
            && record.attempt(0).start == Int64(number) && record.attempt(0).duration == 7
    }

    @Test("The last records are kept, newest first")
    func ring() {
        let recorder = FlightRecorder(capacity: 8)
        #expect(recorder.newest().isEmpty)
        for number in 0..<21 { recorder.append(record(UInt64(number))) }
        #expect(recorder.newest().map(\.connectionID) == [20, 19, 18, 17, 16, 15, 14, 13])
        #expect(recorder.newest(2).map(\.connectionID) == [20, 19] && recorder.count == 21)
        #expect(recorder.find(RequestID(high: 15, low: ~15))?.connectionID == 15)
        #expect(recorder.find(RequestID(high: 3, low: ~3)) == nil)
    }

    @Test("A reader never sees a record that is half written")
    func concurrent() {
        let recorder = FlightRecorder(capacity: 4)
        let isDone = Atomic<Bool>(false)
        let seen = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: 3) { thread in
            if thread == 0 {
                for number in 0..<50_000 { recorder.append(record(UInt64(number))) }
                isDone.store(true, ordering: .releasing)
                return
            }
            while !isDone.load(ordering: .acquiring) {
                for record in recorder.newest() {
                    if !isWhole(record) { Issue.record("torn: \(record.connectionID)") }
                    seen.wrappingAdd(1, ordering: .relaxed)
                }
            }
        }
        #expect(recorder.newest().count == 4 && recorder.newest().allSatisfy(isWhole))
    }

    @Test("The first attempts are kept, and all are counted")
    func attempts() {
        var record = ExchangeRecord()
        for number in 0..<6 {
            record.attemptStarted(at: Int64(number), endpoint: nil, cause: number == 0 ? nil : .gatewayError)
            record.attemptEnded(at: Int64(number) + 1, .resetSent)
        }
        #expect(record.attemptCount == 6 && record.attemptsKept == 4)
        #expect(record.attempt(0).cause == nil && record.attempt(3).cause == .gatewayError)
        #expect(record.attempt(3).start == 3 && record.attempt(3).duration == 1)
        #expect(MemoryLayout<ExchangeRecord>.size <= 768, "a thousand of them are kept for each worker")
    }
}
