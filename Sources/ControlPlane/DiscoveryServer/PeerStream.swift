import GRPCCore

/// One stream of a proxy: hands what comes to its owner and writes what the owner has put into the queue, until either
/// side ends.
struct PeerStream<Incoming: Sendable, Outgoing: Sendable>: Sendable {
    let responses: AsyncStream<Outgoing>
    let queue: AsyncStream<Outgoing>.Continuation
    /// Of the owner. An error ends the stream and is told to the proxy.
    let received: @Sendable (Incoming) async throws -> Void
    let closed: @Sendable () async -> Void

    func answer(_ request: StreamingServerRequest<Incoming>) -> StreamingServerResponse<Outgoing> {
        StreamingServerResponse { writer in
            do {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        for try await message in request.messages { try await received(message) }
                        queue.finish()
                    }
                    group.addTask {
                        for await response in responses { try await writer.write(response) }
                    }
                    // Whichever side ends first ends the stream.
                    try await group.next()
                    group.cancelAll()
                }
            } catch {
                await closed()
                throw error
            }
            await closed()
            return [:]
        }
    }
}
