//! Runs the programs as the kernel would and looks at the verdicts.

use super::*;

struct Call {
    audit: u32,
    number: u32,
    args: [u64; 6],
}

fn x86_64(number: u32, args: &[u64]) -> Call {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    Call { audit: X86_64.audit, number, args: all }
}

fn run(program: &[BpfInstruction], call: &Call) -> u32 {
    let word = |offset: u32| match offset {
        0 => call.number,
        4 => call.audit,
        offset => {
            let arg = call.args[(offset as usize - 16) / 8];
            if offset.is_multiple_of(8) { arg as u32 } else { (arg >> 32) as u32 }
        }
    };
    let (mut at, mut loaded) = (0, 0);
    loop {
        let now = program[at];
        at += 1;
        let jump = |holds: bool| usize::from(if holds { now.jt } else { now.jf });
        match now.code {
            0x20 => loaded = word(now.k),
            0x54 => loaded &= now.k,
            0x05 => at += now.k as usize,
            0x06 => return now.k,
            0x15 => at += jump(loaded == now.k),
            0x25 => at += jump(loaded > now.k),
            0x35 => at += jump(loaded >= now.k),
            code => panic!("unknown instruction {code:#x}"),
        }
    }
}

fn filter(json: serde_json::Value) -> Result<Filter> {
    compile(&serde_json::from_value(json).unwrap())
}

fn program(json: serde_json::Value) -> Vec<BpfInstruction> {
    filter(json).unwrap().program
}

#[test]
fn the_table_is_sorted() {
    assert!(syscalls::SYSCALLS.is_sorted_by_key(|(name, _)| name));
}

#[test]
fn named_calls_get_their_action_and_others_the_default() {
    let program = program(serde_json::json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [
            {"names": ["read", "write", "io_uring_setup"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["getcwd"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
            {"names": ["ptrace"], "action": "SCMP_ACT_KILL_PROCESS"},
        ],
    }));
    assert_eq!(run(&program, &x86_64(0, &[])), ALLOW);
    assert_eq!(run(&program, &x86_64(1, &[])), ALLOW);
    assert_eq!(run(&program, &x86_64(2, &[])), ERRNO | 1);
    assert_eq!(run(&program, &x86_64(79, &[])), ERRNO | 38);
    assert_eq!(run(&program, &x86_64(101, &[])), KILL_PROCESS);
    // Newer than everything that the profile names.
    assert_eq!(run(&program, &x86_64(426, &[])), ERRNO | 38);
    assert_eq!(run(&program, &x86_64(u32::MAX, &[])), ERRNO | 1);
}

#[test]
fn an_architecture_that_is_not_named_is_killed() {
    let base = serde_json::json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}],
    });
    let native = program(base.clone());
    let call = |audit, number| Call { audit, number, args: [0; 6] };
    assert_eq!(run(&native, &call(X86.audit, 3)), KILL_THREAD);
    assert_eq!(run(&native, &call(X32.audit, X32_BIT)), KILL_THREAD);
    assert_eq!(run(&native, &call(0x1234, 0)), KILL_THREAD);

    let mut all = base;
    all["architectures"] = serde_json::json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
    let all = program(all);
    assert_eq!(run(&all, &call(X86.audit, 3)), ALLOW);
    assert_eq!(run(&all, &call(X86.audit, 0)), ERRNO | 1);
    assert_eq!(run(&all, &call(X32.audit, X32_BIT)), ALLOW);
    assert_eq!(run(&all, &call(X32.audit, X32_BIT + 1)), ERRNO | 38);
}

#[test]
fn conditions_compare_all_64_bits() {
    let big = 0x1_0000_0005_u64;
    for (op, below, equal, above) in [
        ("SCMP_CMP_NE", true, false, true),
        ("SCMP_CMP_LT", true, false, false),
        ("SCMP_CMP_LE", true, true, false),
        ("SCMP_CMP_EQ", false, true, false),
        ("SCMP_CMP_GE", false, true, true),
        ("SCMP_CMP_GT", false, false, true),
    ] {
        let program = program(serde_json::json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 2, "value": big, "op": op}]}],
        }));
        let holds = |arg: u64| run(&program, &x86_64(0, &[0, 0, arg])) == ALLOW;
        let cases = [(5, below), (big - 1, below), (big, equal), (big + 1, above), (0x2_0000_0000, above)];
        for (arg, expected) in cases {
            assert_eq!(holds(arg), expected, "{op} {arg:#x}");
        }
    }
}

#[test]
fn conditions_on_several_arguments_must_all_hold_and_on_one_any() {
    let with = |args: serde_json::Value| {
        program(serde_json::json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [{"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": args}],
        }))
    };
    let eq =
        |index: usize, value: u64| serde_json::json!({"index": index, "value": value, "op": "SCMP_CMP_EQ"});
    let both = with(serde_json::json!([eq(0, 1), eq(1, 2)]));
    assert_eq!(run(&both, &x86_64(41, &[1, 2])), ALLOW);
    assert_eq!(run(&both, &x86_64(41, &[1, 3])), ERRNO | 1);
    let either = with(serde_json::json!([eq(0, 1), eq(0, 2)]));
    assert_eq!(run(&either, &x86_64(41, &[2, 9])), ALLOW);
    assert_eq!(run(&either, &x86_64(41, &[3, 9])), ERRNO | 1);
}

#[test]
fn a_masked_comparison_looks_at_the_masked_bits() {
    let program = program(serde_json::json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{"names": ["clone"], "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 2_114_060_288_u64, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]}],
    }));
    assert_eq!(run(&program, &x86_64(56, &[0x0120_0011])), ALLOW);
    assert_eq!(run(&program, &x86_64(56, &[0x1000_0000])), ERRNO | 1);
}

#[test]
fn a_long_profile_jumps_as_far_as_it_must() {
    let names: Vec<_> = syscalls::SYSCALLS.iter().map(|(name, _)| *name).step_by(2).collect();
    let args: Vec<_> = names
        .iter()
        .map(|name| {
            serde_json::json!({"names": [name], "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 7, "op": "SCMP_CMP_EQ"}]})
        })
        .collect();
    let program = program(serde_json::json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": args}));
    for (name, numbers) in syscalls::SYSCALLS {
        let Ok(number) = u32::try_from(numbers[0]) else { continue };
        let expected = if names.contains(name) { ALLOW } else { ERRNO | 1 };
        if number < 400 {
            assert_eq!(run(&program, &x86_64(number, &[7])), expected, "{name}");
            assert_eq!(run(&program, &x86_64(number, &[8])), ERRNO | 1, "{name}");
        }
    }
}

#[test]
fn notify_is_refused_where_it_would_deadlock() {
    let text = |json| filter(json).unwrap_err().to_string();
    let notify = |name: &str| serde_json::json!({"names": [name], "action": "SCMP_ACT_NOTIFY"});
    let on = |name: &str| serde_json::json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/s", "syscalls": [notify(name)]});
    assert!(text(on("write")).contains("SCMP_ACT_NOTIFY cannot be used for the write syscall"));
    assert!(filter(on("mkdir")).is_ok());
    assert!(text(serde_json::json!({"defaultAction": "SCMP_ACT_NOTIFY"})).contains("default action"));
    assert!(
        text(serde_json::json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [notify("mkdir")]}))
            .contains("listenerPath")
    );
}
