//! What the page makes of `getStats`, by the page's own script in Node.js, where that is installed.

use std::process::Command;

/// Twenty seconds of 50 packets of sound each, one in fifty lost, of which reports come each five seconds: the loss that
/// is shown at the end of each second.
const SENDS_SOUND: &str = r"
let at = 0;
const performance = { now: () => at };
const { Meter } = new Function('performance', `${process.argv[1]}; return { Meter };`)(performance);
const meter = new Meter(true);
const shown = [];
let report = [];
for (let second = 0; second <= 20; second += 1) {
  at = second * 1000;
  const ssrc = 1, kind = 'audio';
  const sent = { id: 'O', type: 'outbound-rtp', kind, ssrc, packetsSent: second * 50, bytesSent: second * 5000 };
  if (second % 5 === 0 && second > 0) {
    report = [{ id: 'R', localId: 'O', type: 'remote-inbound-rtp', kind, ssrc, timestamp: at, packetsLost: second }];
  }
  const getStats = async () => new Map([sent, ...report].map((one) => [one.id, one]));
  const { loss } = await meter.look({ connectionState: 'connected', getStats });
  shown.push(loss);
}
console.log(JSON.stringify(shown));
";

#[test]
fn loss_of_what_is_sent_belongs_to_all_the_time_between_two_reports() {
    if Command::new("node").arg("--version").output().is_err() {
        println!("skipped: there is no node here");
        return;
    }
    let figures = include_str!("../src/serve/page/figures.js");
    let run = Command::new("node").args(["--input-type=module", "--eval", SENDS_SOUND, figures]).output().unwrap();
    let shown: Vec<Option<f64>> = serde_json::from_slice(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
    let (before, after) = shown.split_at(5);
    assert_eq!(before, [None; 5], "nothing is known before the first report");
    assert!(after.len() == 16 && after.iter().all(|loss| *loss == Some(2.0)), "{after:?}");
}
