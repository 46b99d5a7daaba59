// The server is not there any more; another connection may find it.
class Lost extends Error {}

// The WebSocket, in the SimplestChat dialect: one request at a time, since answers bear no ids.
class Chat {
  static ANSWERS = {
    joinRoom: 'roomJoined', getRouterRtpCapabilities: 'routerRtpCapabilities',
    createSendTransport: 'transportCreated', createRecvTransport: 'transportCreated',
    connectTransport: 'transportConnected', produce: 'producerCreated', consume: 'consumerCreated',
    resumeConsumer: 'consumerResumed', reconnect: 'reconnectResult',
  };

  // `heard` gets events and what belongs to no request, `ended` the reason once the socket is gone.
  constructor(heard, ended) {
    this.heard = heard;
    this.last = Promise.resolve();
    this.waiting = null;
    const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
    this.socket = new WebSocket(`${scheme}//${location.host}/ws`);
    this.open = new Promise((resolve, reject) => {
      this.socket.onopen = resolve;
      this.socket.onclose = (event) => {
        const why = new Lost(event.reason || 'the connection to the server is lost');
        reject(why);
        this.waiting?.reject(why);
        this.waiting = null;
        ended(why);
      };
    });
    // Who joins is told by the request that waits for it.
    this.open.catch(() => {});
    this.socket.onmessage = (event) => this.take(JSON.parse(event.data));
  }

  take(message) {
    const waiting = this.waiting;
    if (waiting && (message.type === waiting.answer || message.type === 'error')) {
      this.waiting = null;
      if (message.type === 'error') waiting.reject(new Error(message.message));
      else waiting.resolve(message);
    } else {
      this.heard(message);
    }
  }

  // Sends a request once all before it are answered: its answer.
  ask(message) {
    const asked = this.last.then(() => this.open).then(() => new Promise((resolve, reject) => {
      if (this.socket.readyState !== WebSocket.OPEN) throw new Lost('the connection to the server is lost');
      this.waiting = { answer: Chat.ANSWERS[message.type], resolve, reject };
      this.socket.send(JSON.stringify(message));
    }));
    this.last = asked.catch(() => {});
    return asked;
  }

  // Leaves the room, and closes.
  leave() {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type: 'leaveRoom' }));
    this.socket.close(1000);
  }
}
