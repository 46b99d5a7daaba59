// The page itself.
const byId = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const picture = pictureOf(query);
const charts = FIGURES.map((figure) => new Chart(figure, byId('charts')));
const cells = FIGURES.map((figure) => {
  const row = byId('figures').tBodies[0].insertRow();
  const head = document.createElement('th');
  head.scope = 'row';
  head.textContent = figure.name;
  row.append(head);
  return ['sent', 'received'].map(() => {
    const cell = row.insertCell();
    cell.className = 'number';
    cell.textContent = '–';
    return cell;
  });
});
let room = null;
let media = null;

function tell(text, wrong = false) {
  byId('told').textContent = text;
  byId('told').classList.toggle('wrong', wrong);
}

// A tile for each participant; those that are there stay as they are, so that no picture starts anew.
function showPeople(people) {
  const tiles = new Map([...byId('people').children].map((tile) => [tile.dataset.id, tile]));
  for (const [id, tile] of tiles) {
    if (id !== 'me' && !people.has(id)) tile.remove();
  }
  for (const [id, { name, stream }] of people) {
    if (!tiles.has(id)) addTile(id, name, stream, false);
  }
  byId('nobody').hidden = people.size > 0;
}

function addTile(id, name, stream, mine) {
  const tile = document.createElement('figure');
  tile.dataset.id = id;
  const video = document.createElement('video');
  video.autoplay = true;
  video.playsInline = true;
  video.muted = mine;
  video.setAttribute('aria-label', mine ? 'What you send' : `What ${name} sends`);
  video.srcObject = stream;
  // Set by autoplay; where that is not allowed, pressing Join was a gesture.
  video.play().catch(() => {});
  const caption = document.createElement('figcaption');
  const who = document.createElement('b');
  who.textContent = mine ? `${name} (you)` : name;
  caption.append(who);
  tile.append(video, caption);
  byId('people').append(tile);
}

function inRoom(is) {
  byId('enter').hidden = is;
  byId('leave').hidden = !is;
  for (const input of byId('join').querySelectorAll('input')) input.disabled = is;
  byId('source-devices').disabled ||= !navigator.mediaDevices;
}

function closed() {
  media?.stop();
  media = null;
  room = null;
  byId('people').replaceChildren();
  inRoom(false);
}

async function join() {
  const [roomId, name] = [byId('room').value.trim(), byId('name').value.trim()];
  inRoom(true);
  tell('Joining …');
  try {
    media = byId('source-fake').checked ? fake(picture, name) : await devices(picture);
    charts.forEach((chart) => chart.clear());
  } catch (error) {
    tell(error.message, true);
    closed();
    return;
  }
  await stay(roomId, name);
}

// Enters the room with the media that there is, and again if the server has forgotten us.
async function stay(roomId, name) {
  meters = { sent: new Meter(true), received: new Meter(false) };
  byId('people').replaceChildren();
  const ours = (act) => (...all) => { if (room === mine) act(...all); };
  const mine = new Room({
    people: ours(showPeople), told: ours(tell), closed: ours(closed), again: ours(() => stay(roomId, name)),
  });
  const before = room;
  room = mine;
  before?.close();
  addTile('me', name, media.stream, true);
  try {
    await mine.join(roomId, name, media.stream);
    tell(`In the room ${roomId}.`);
  } catch (error) {
    if (room !== mine) return;
    tell(error.message, true);
    mine.leave();
    closed();
  }
}

let meters = { sent: new Meter(true), received: new Meter(false) };

async function measure() {
  const now = room;
  if (!now) return;
  const [sent, received] = await Promise.all([meters.sent.look(now.sending), meters.received.look(now.receiving)]);
  if (room !== now) return;
  FIGURES.forEach((figure, index) => {
    const values = [sent?.[figure.key] ?? null, received?.[figure.key] ?? null];
    charts[index].add(...values);
    values.forEach((value, side) => { cells[index][side].textContent = shown(figure, value); });
  });
}

// Controls are there if the server can change the link.
async function offerControls() {
  const { interface: changes, profiles } = await (await fetch('shape')).json();
  if (changes === null) return;
  byId('interface').textContent = changes;
  for (const profile of profiles) byId('profile').add(new Option(profile));
  byId('shape').hidden = false;
}

async function change() {
  const fields = ['profile', 'delay', 'jitter', 'loss', 'rate'];
  const settings = Object.fromEntries(fields.map((id) => [id, byId(id).value.trim()]));
  byId('change-it').disabled = byId('clean').disabled = true;
  try {
    const headers = { 'Content-Type': 'application/json' };
    const answer = await fetch('shape', { method: 'POST', headers, body: JSON.stringify(settings) });
    byId('changed').textContent = await answer.text();
    byId('changed').classList.toggle('wrong', !answer.ok);
  } catch (error) {
    byId('changed').textContent = error.message;
    byId('changed').classList.add('wrong');
  }
  byId('change-it').disabled = byId('clean').disabled = false;
}

byId('join').addEventListener('submit', (event) => { event.preventDefault(); join(); });
byId('leave').addEventListener('click', () => { tell('You left.'); room?.leave(); });
byId('change').addEventListener('submit', (event) => { event.preventDefault(); change(); });
byId('clean').addEventListener('click', () => { byId('change').reset(); change(); });
byId('room').value = query.get('room') ?? 'lobby';
byId('name').value = query.get('name') ?? `guest ${Math.floor(Math.random() * 900 + 100)}`;
byId('insecure').hidden = Boolean(navigator.mediaDevices);
byId('port').textContent = byId('port-there').textContent = location.port || '80';
byId(query.has('fake') || !navigator.mediaDevices ? 'source-fake' : 'source-devices').checked = true;
inRoom(false);
setInterval(measure, 1000);
offerControls().catch((error) => tell(error.message, true));
if (query.has('join')) join();
