import com.chancery.v1.Client;
import com.chancery.v1.CreateUserRequest;
import com.chancery.v1.RefusedUser;
import com.chancery.v1.SignatureAlgorithm;
import com.chancery.v1.User;
import com.chancery.v1.UserServiceGrpc;
import com.google.protobuf.Struct;
import com.google.protobuf.Value;
import com.google.rpc.BadRequest.FieldViolation;
import io.grpc.ManagedChannel;

/** Uses the generated stubs: a request, an enum, an object of attributes, and the details of an error. */
final class Use {
  static User create(ManagedChannel channel) {
    Struct attributes =
        Struct.newBuilder().putFields("max", Value.newBuilder().setNumberValue(5).build()).build();
    User user = User.newBuilder().setName("ada").setAttributes(attributes).build();
    CreateUserRequest request = CreateUserRequest.newBuilder().setUser(user).build();
    return UserServiceGrpc.newBlockingStub(channel).createUser(request).getUser();
  }

  public static void main(String[] args) {
    Client client =
        Client.newBuilder().setAlgorithm(SignatureAlgorithm.SIGNATURE_ALGORITHM_ES256).build();
    FieldViolation violation =
        FieldViolation.newBuilder().setField("attributes.limits.max").build();
    RefusedUser refused = RefusedUser.newBuilder().addFieldViolations(violation).build();
    if (client.getAlgorithmValue() != 2
        || !refused.getFieldViolations(0).getField().equals("attributes.limits.max")) {
      throw new AssertionError("the stubs do not keep what they are given");
    }
  }
}
