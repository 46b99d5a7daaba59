// How often a connection to the server that was lost is tried again, and for how long each time, in milliseconds.
const TRIES = 10;
const TRY_FOR = 5000;

// One stay in a room: a connection to send by, one to receive by, and who else is there.
class Room {
  // `shows` has people(map of participants), told(text, whether it is wrong), closed(), and again() for when the server
  // knows nothing of this stay any more.
  constructor(shows) {
    this.shows = shows;
    this.people = new Map();
    this.sections = [];
    this.version = 0;
    this.queue = Promise.resolve();
    this.left = false;
    // Whether a step was cut off by a lost connection, so that the server may know more or less than this page.
    this.broken = false;
    this.trying = false;
    this.chat = this.connect();
  }

  connect() {
    const chat = new Chat((message) => this.heard(message), (why) => { if (this.chat === chat) this.lost(why); });
    return chat;
  }

  lost(why) {
    if (this.trying) return;
    if (!this.left && this.ticket) {
      this.tryAgain(why);
      return;
    }
    if (!this.left) this.shows.told(`${why.message}: join again`, true);
    this.close();
  }

  // Takes this stay up on another connection; media goes on meanwhile.
  async tryAgain(why) {
    this.trying = true;
    for (let tries = 1; tries <= TRIES; tries += 1) {
      this.shows.told(`${why.message}: trying again, ${tries} of ${TRIES}`, true);
      await new Promise((done) => { setTimeout(done, Math.min(250 * 2 ** tries, 8000)); });
      if (this.left) return;
      this.chat = this.connect();
      const { socket } = this.chat;
      const late = setTimeout(() => socket.close(), TRY_FOR);
      const result = await this.chat.ask({ type: 'reconnect', ...this.ticket }).catch(() => null);
      clearTimeout(late);
      if (this.left) return;
      if (result && socket.readyState === WebSocket.OPEN) {
        this.trying = false;
        this.goOn(result);
        return;
      }
      socket.close();
    }
    this.trying = false;
    this.shows.told(`${why.message}: join again`, true);
    this.close();
  }

  // Back on another connection: with all that there was, or else anew.
  goOn({ success, participants, reconnectToken }) {
    const up = [this.sending, this.receiving].every((one) => !one || one.connectionState === 'connected');
    if (!success || this.broken || !up) {
      this.leave();
      this.shows.again();
      return;
    }
    this.ticket.reconnectToken = reconnectToken;
    this.shows.told(`Back in the room ${this.ticket.roomId}.`);
    this.compare(participants);
  }

  // What has changed while nothing was heard.
  compare(participants) {
    const there = new Set(participants.map(({ id }) => id));
    for (const id of [...this.people.keys()]) if (!there.has(id)) this.people.delete(id);
    this.shows.people(this.people);
    for (const { id, name, producers } of participants) {
      if (!this.people.has(id)) this.enter(id, name);
      for (const producer of producers) this.receive(id, producer.id);
    }
    const sent = new Set(participants.flatMap(({ producers }) => producers.map(({ id }) => id)));
    for (const { producerId } of this.sections) {
      if (!sent.has(producerId)) this.do(() => this.forget(producerId)).catch(() => {});
    }
  }

  // Joins and sends the tracks of a stream.
  async join(roomId, participantName, stream) {
    const { rtpCapabilities } = await this.chat.ask({ type: 'getRouterRtpCapabilities' });
    this.capabilities = rtpCapabilities;
    // Nothing else is asked in between: tracks of who is there already may be announced from now on.
    const joined = await this.chat.ask({ type: 'joinRoom', roomId, participantName });
    const { participantId, participants, reconnectToken } = joined;
    for (const { id, name, producers } of participants) {
      this.enter(id, name);
      for (const producer of producers) this.receive(id, producer.id);
    }
    await this.do(() => this.send(stream));
    this.ticket = { participantId, roomId, reconnectToken };
  }

  // One after the other: an offer must not come while one is answered. What fails is told, and the rest goes on.
  do(step) {
    const done = this.queue.then(() => { if (!this.left) return step(); });
    this.queue = done.catch((error) => {
      if (error instanceof Lost) this.broken = true;
      else if (!this.left) this.shows.told(error.message, true);
    });
    return done;
  }

  async send(stream) {
    const transport = await this.chat.ask({ type: 'createSendTransport' });
    this.sending = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    const tracks = stream.getTracks();
    const sections = tracks.map(({ kind }, index) => (
      { kind, mid: String(index), direction: 'recvonly', rtp: rtpToSend(this.capabilities, kind) }));
    await this.sending.setRemoteDescription({ type: 'offer', sdp: offer(transport, sections, 1) });
    for (const [index, transceiver] of this.sending.getTransceivers().entries()) {
      transceiver.direction = 'sendonly';
      await transceiver.sender.replaceTrack(tracks[index]);
    }
    const answer = await this.sending.createAnswer();
    const { transportId } = transport;
    await this.chat.ask({ type: 'connectTransport', transportId, dtlsParameters: dtlsOf(answer.sdp) });
    // Packets of what is not announced would be thrown away.
    for (const { kind, mid, rtp } of sections) {
      const encodings = [encodingOf(answer.sdp, mid)];
      const source = kind === 'audio' ? 'mic' : 'camera';
      await this.chat.ask({ type: 'produce', transportId, kind, source, rtpParameters: { mid, ...rtp, encodings } });
    }
    await this.sending.setLocalDescription(answer);
  }

  heard(message) {
    switch (message.type) {
      case 'participantJoined':
        this.enter(message.participantId, message.participantName);
        break;
      case 'participantLeft':
        this.people.delete(message.participantId);
        this.shows.people(this.people);
        break;
      case 'newProducer':
        this.receive(message.participantId, message.producerId);
        break;
      case 'producerClosed':
        this.do(() => this.forget(message.producerId));
        break;
      case 'error':
        this.shows.told(message.message, true);
        break;
    }
  }

  enter(id, name) {
    this.people.set(id, { name, stream: new MediaStream() });
    this.shows.people(this.people);
  }

  receive(participantId, producerId) {
    // What fails is told by the queue.
    this.do(() => this.consume(participantId, producerId)).catch(() => {});
  }

  async consume(participantId, producerId) {
    if (!this.people.has(participantId)) return;
    if (this.sections.some((one) => one.producerId === producerId)) return;
    if (!this.receiving) {
      this.transport = await this.chat.ask({ type: 'createRecvTransport' });
      this.receiving = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    }
    const rtpCapabilities = rtpToReceive(this.capabilities);
    const { consumerId, kind, rtpParameters: rtp } = await this.chat.ask({ type: 'consume', producerId, rtpCapabilities });
    this.sections.push({ kind, mid: rtp.mid, direction: 'sendonly', rtp, stream: participantId, producerId });
    await this.negotiate();
    const { receiver } = this.receiving.getTransceivers().find((transceiver) => transceiver.mid === rtp.mid);
    this.people.get(participantId)?.stream.addTrack(receiver.track);
    this.shows.people(this.people);
    await this.chat.ask({ type: 'resumeConsumer', consumerId });
  }

  async negotiate() {
    this.version += 1;
    const sdp = offer(this.transport, this.sections, this.version);
    await this.receiving.setRemoteDescription({ type: 'offer', sdp });
    const answer = await this.receiving.createAnswer();
    if (this.version === 1) {
      const dtlsParameters = dtlsOf(answer.sdp);
      await this.chat.ask({ type: 'connectTransport', transportId: this.transport.transportId, dtlsParameters });
    }
    await this.receiving.setLocalDescription(answer);
  }

  async forget(producerId) {
    const section = this.sections.find((one) => one.producerId === producerId && one.direction !== 'inactive');
    if (!section) return;
    section.direction = 'inactive';
    const gone = this.receiving.getTransceivers().find((transceiver) => transceiver.mid === section.mid);
    this.people.get(section.stream)?.stream.removeTrack(gone.receiver.track);
    await this.negotiate();
  }

  close() {
    this.left = true;
    this.sending?.close();
    this.receiving?.close();
    this.people.clear();
    this.shows.people(this.people);
    this.shows.closed();
  }

  leave() {
    this.left = true;
    this.chat.leave();
    // No connection ends that could tell.
    if (this.trying) this.close();
  }
}
