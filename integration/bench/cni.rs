//! Our CNI plugins beside Debian's: bridge with host-local and masquerading, and portmap, in one run on one machine.
//!
//! Both get the same configuration but for the backend of translation, which is each one's own. Times are per call, from the
//! start of the process to its end, median and 90th percentile; in parallel they are the time of all divided by their number.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use integration::world;
use serde_json::{Value, json};

const PODS: usize = 30;

/// One side of the comparison.
struct Side {
    name: &'static str,
    /// The folder of plugins; ours are links to one program.
    folder: PathBuf,
    subnet: &'static str,
}

impl Side {
    fn bridge(&self) -> Value {
        json!({
            "cniVersion": "1.0.0", "name": self.name, "type": "bridge", "bridge": format!("br-{}", self.name),
            "isDefaultGateway": true, "ipMasq": true,
            "ipam": { "type": "host-local", "dataDir": "/run/leases", "ranges": [[{ "subnet": self.subnet }]] },
        })
    }

    fn portmap(&self, result: &Value, number: usize) -> Value {
        json!({
            "cniVersion": "1.0.0", "name": self.name, "type": "portmap", "prevResult": result,
            "runtimeConfig": { "portMappings": [{ "hostPort": 9000 + number, "containerPort": 80, "protocol": "tcp" }] },
        })
    }

    fn call(&self, conf: &Value, verb: &str, number: usize) -> io::Result<(Duration, Value)> {
        let start = Instant::now();
        let id = format!("pod{number}");
        let mut child = Command::new(self.folder.join(conf["type"].as_str().unwrap_or_default()))
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", &id)
            .env("CNI_NETNS", format!("/run/netns/{id}"))
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", &self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(conf.to_string().as_bytes())?;
        }
        let output = child.wait_with_output()?;
        let took = start.elapsed();
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            return Err(io::Error::other(format!("{} {verb}: {text}", self.name)));
        }
        Ok((took, serde_json::from_slice(&output.stdout).unwrap_or_default()))
    }

    /// All pods come and go, one after the other.
    fn serial(&self) -> io::Result<()> {
        let mut times: [Vec<Duration>; 4] = Default::default();
        for number in 0..PODS {
            let (took, result) = self.call(&self.bridge(), "ADD", number)?;
            times[0].push(took);
            times[1].push(self.call(&self.portmap(&result, number), "ADD", number)?.0);
            times[2].push(self.call(&self.portmap(&result, number), "DEL", number)?.0);
            times[3].push(self.call(&self.bridge(), "DEL", number)?.0);
        }
        for (what, times) in ["bridge ADD", "portmap ADD", "portmap DEL", "bridge DEL"].iter().zip(&mut times)
        {
            times.sort();
            let (median, most) = (times[times.len() / 2], times[times.len() * 9 / 10]);
            report(self.name, what, &format!("{:7.2} ms, p90 {:7.2} ms", millis(median), millis(most)))?;
        }
        Ok(())
    }

    /// All pods come at once, and go at once.
    fn parallel(&self) -> io::Result<()> {
        let start = Instant::now();
        let results = at_once(|number| self.call(&self.bridge(), "ADD", number).map(|(_, result)| result))?;
        at_once(|number| self.call(&self.portmap(&results[number], number), "ADD", number))?;
        let added = start.elapsed();
        let start = Instant::now();
        at_once(|number| self.call(&self.portmap(&results[number], number), "DEL", number))?;
        at_once(|number| self.call(&self.bridge(), "DEL", number))?;
        let deleted = start.elapsed();
        let each = |time: Duration| format!("{:7.2} ms per pod", millis(time) / PODS as f64);
        report(self.name, "30 at once, ADD of both", &each(added))?;
        report(self.name, "30 at once, DEL of both", &each(deleted))
    }
}

fn at_once<T: Send>(work: impl Fn(usize) -> io::Result<T> + Sync) -> io::Result<Vec<T>> {
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..PODS).map(|number| scope.spawn(move || work(number))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(io::Error::other("panic"))))
            .collect()
    })
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn report(name: &str, what: &str, value: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{name:7} {what:24} {value}")
}

fn run() -> io::Result<()> {
    world::enter()?;
    for number in 0..PODS {
        let status = Command::new("ip").args(["netns", "add", &format!("pod{number}")]).status()?;
        if !status.success() {
            return Err(io::Error::other(format!("ip netns add: {status}")));
        }
    }
    let ours = PathBuf::from("/run/orlop-cni");
    fs::create_dir(&ours)?;
    let program = world::bin("orlop-cni").canonicalize()?;
    for name in ["bridge", "host-local", "portmap"] {
        std::os::unix::fs::symlink(&program, ours.join(name))?;
    }
    let sides = [
        Side { name: "orlop", folder: ours, subnet: "10.90.0.0/24" },
        Side { name: "debian", folder: "/usr/lib/cni".into(), subnet: "10.91.0.0/24" },
    ];
    for side in sides.iter().filter(|side| side.folder.join("bridge").exists()) {
        side.serial()?;
        side.parallel()?;
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
